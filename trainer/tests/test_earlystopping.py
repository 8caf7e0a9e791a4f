"""Early stopping: when it ends a run, and that an attempt which goes on from there knows it."""

from pathlib import Path

import pytest
import yaml

from tests.demojob import demo_config, of_type, with_parameters
from tests.finished import run
from tests.interruption import interrupted, resumed
from trainingjob.config import parse_config
from trainingjob.earlystopping import EarlyStopping, exhausted
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.progress import Progress
from trainingjob.scoring.best import BestTracker, Scoring
from trainingjob.scoring.metric import Metric

CRD = Path(__file__).parents[2] / "crds" / "trainingjobs.yaml"

CASES = [
    ("nothing yet", [], 1, 0.0, False),
    ("the first is an improvement", [5.0], 1, 0.0, False),
    ("better and better", [5.0, 4.0, 3.0], 1, 0.0, False),
    ("one worse", [5.0, 6.0], 1, 0.0, True),
    ("one equal", [5.0, 5.0], 1, 0.0, True),
    ("one worse with patience for two", [5.0, 6.0], 2, 0.0, False),
    ("two worse", [5.0, 6.0, 5.5], 2, 0.0, True),
    ("better in between", [5.0, 6.0, 4.0, 4.5], 2, 0.0, False),
    ("better by less than the delta", [5.0, 4.9], 1, 0.2, True),
    ("steps that come to more than the delta together", [5.0, 4.9, 4.8, 4.7], 3, 0.25, False),
    ("scores below zero", [-0.5, -0.6, -0.55], 1, 0.0, True),
]


def progress_of(*, scores=(), metrics=()):
    """What a run knows after evaluations every ten steps. A metric of None was not finite, and is not among those known."""
    progress = Progress(BestTracker(Scoring(None, "Minimize")), "sha")
    progress.scores = {10 * (index + 1): score for index, score in enumerate(scores)}
    progress.evaluations = {
        10 * (index + 1): {"eval/loss": 1.0} | ({} if value is None else {"eval/accuracy": value})
        for index, value in enumerate(metrics)
    }
    return progress


@pytest.mark.parametrize(("scores", "patience", "delta", "ends"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_when_it_ends(scores, patience, delta, ends):
    assert exhausted(EarlyStopping(patience, delta), progress_of(scores=scores)) is ends


@pytest.mark.parametrize(("scores", "patience", "delta", "ends"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_when_it_ends_by_a_metric(scores, patience, delta, ends):
    """Less is better, or more is, of the same numbers the other way round."""
    less = EarlyStopping(patience, delta, Metric("eval/accuracy", "Minimize"))
    assert exhausted(less, progress_of(metrics=scores)) is ends
    more = EarlyStopping(patience, delta, Metric("eval/accuracy", "Maximize"))
    assert exhausted(more, progress_of(metrics=[-score for score in scores])) is ends


def test_metric_that_is_not_finite_changes_nothing():
    rule = EarlyStopping(2, 0.0, Metric("eval/accuracy", "Maximize"))
    assert exhausted(rule, progress_of(metrics=[0.5, None, None])) is False
    assert exhausted(rule, progress_of(metrics=[0.5, None, 0.4, None, 0.4])) is True


def test_without_a_rule_no_run_ends():
    assert exhausted(None, progress_of(scores=[1.0, 2.0, 3.0])) is False


def test_sentence_of_the_end():
    assert EarlyStopping(3, 0.5).message().startswith("3 evaluations in a row lowered the score by no more than 0.5;")
    accuracy = EarlyStopping(2, 0.0, Metric("eval/accuracy", "Maximize"))
    assert accuracy.message().startswith("2 evaluations in a row raised eval/accuracy by no more than 0;")


TABULAR = {"modelType": "xgboost_regression", "dataset": {"source": "file:///d.csv"}, "target": "y"}
WRONG = [
    ({"tabular": {**TABULAR, "modelType": "svm_regression"}}, {"patience": 1}, "svm is fitted at once and cannot stop"),
    ({"custom": {"command": ["x"]}}, {"patience": 1}, "the program of a custom job decides itself when it ends"),
    ({"tabular": TABULAR}, {}, "earlyStopping.patience: must be a whole number of at least 1, not nothing"),
    ({"tabular": TABULAR}, {"patience": 0}, "earlyStopping.patience: must be a whole number of at least 1, not 0"),
    ({"tabular": TABULAR}, {"patience": 1, "minDelta": "-1"}, "minDelta: must be a number of at least 0, not '-1'"),
    ({"tabular": TABULAR}, {"patience": 1, "delta": "1"}, "earlyStopping.delta: is not known."),
    (
        {"tabular": TABULAR},
        {"patience": 1, "metric": {"name": "eval/mae"}},
        "earlyStopping.metric.goal: must be a text",
    ),
]


@pytest.mark.parametrize(("trainer", "value", "sentence"), WRONG, ids=[sentence[:40] for *_, sentence in WRONG])
def test_rule_that_is_refused(trainer, value, sentence):
    with pytest.raises(TrainingError) as caught:
        parse_config({"trainer": trainer, "earlyStopping": value})
    assert caught.value.code == ExitCode.CONFIGURATION
    assert sentence in str(caught.value)


def test_fields_and_default_are_those_of_the_resource():
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    stopping = spec["earlyStopping"]["properties"]
    assert set(stopping) == {"patience", "minDelta", "metric"}
    assert set(stopping["metric"]["properties"]) == {"name", "goal"}
    given = {"patience": 4, "metric": {"name": "eval/mae", "goal": "Minimize"}}
    rule = parse_config({"trainer": {"tabular": TABULAR}, "earlyStopping": given}).early_stopping
    assert rule == EarlyStopping(4, float(stopping["minDelta"]["default"]), Metric("eval/mae", "Minimize"))


def stopping_config(folder, **rule):
    return with_parameters(demo_config(folder, earlyStopping={"patience": 3, **rule}), nEstimators=2000)


def test_run_ends_early_with_its_best_step_and_says_so(tmp_path):
    done = run(tmp_path, stopping_config(tmp_path))
    assert done.code == ExitCode.SUCCESS
    (alert,) = of_type(done.events, "alert")
    assert (alert["name"], alert["severity"]) == ("EarlyStopped", "Info")
    assert alert["message"].startswith("3 evaluations in a row lowered the score by no more than 0;")
    last = done.evaluations[-1]["step"]
    assert last < 2000
    assert done.metrics["best_step"] == last - 3 * 20
    # The last one is there, too: it is where another attempt would go on.
    assert last in done.stored_checkpoints


def test_run_ends_early_by_a_metric_that_is_not_the_score(tmp_path):
    done = run(tmp_path, stopping_config(tmp_path, metric={"name": "eval/accuracy", "goal": "Maximize"}))
    accuracies = [event["metrics"]["eval/accuracy"] for event in done.evaluations]
    assert len(accuracies) > 3
    # The three that brought nothing, and none before them in a row.
    assert max(accuracies[-3:]) <= accuracies[-4] == max(accuracies)
    (alert,) = of_type(done.events, "alert")
    assert "raised eval/accuracy by no more than 0;" in alert["message"]


def test_run_that_is_interrupted_ends_early_where_a_whole_one_does(tmp_path):
    whole_folder, folder = tmp_path / "whole", tmp_path / "broken"
    whole_folder.mkdir()
    folder.mkdir()
    whole = run(whole_folder, stopping_config(whole_folder))
    end = whole.evaluations[-1]["step"]
    # With the patience half used up.
    done = resumed(interrupted(folder, stopping_config(folder), at=end - 10), stopping_config(folder))
    assert [event["step"] for event in done.evaluations] == [end]
    assert done.lasting_metrics == whole.lasting_metrics


def test_attempt_after_an_early_end_trains_no_further(tmp_path):
    config = stopping_config(tmp_path)
    before = run(tmp_path, config)
    again = resumed(before, config)
    assert again.evaluations == []
    assert again.lasting_metrics == before.lasting_metrics


def test_metric_that_evaluations_do_not_have(tmp_path):
    config = demo_config(tmp_path, earlyStopping={"patience": 1, "metric": {"name": "eval/acc", "goal": "Maximize"}})
    with pytest.raises(TrainingError, match=r'earlyStopping\.metric\.name: "eval/acc" is no metric') as caught:
        run(tmp_path, config)
    assert caught.value.code == ExitCode.CONFIGURATION


def test_smallest_improvement_counts(tmp_path):
    """The field minDelta: what is too little to count ends the run at the second evaluation."""
    done = run(tmp_path, stopping_config(tmp_path, patience=1, minDelta="1000"))
    assert [event["step"] for event in done.evaluations] == [20, 40]

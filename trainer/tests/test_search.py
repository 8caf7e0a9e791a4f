"""A search in one run: trials that are reported, failed, pruned, stopped and gone on with, and the best of them as the result."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.demojob import demo_config, of_type, read_events
from tests.finished import Finished, run
from tests.interruption import resumed, verified
from tests.waiting import wait_until
from trainingjob import reporting
from trainingjob.agent.reported import parse_event
from trainingjob.cli import main
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.storage.manifest import verify
from trainingjob.tabular.families.family import family_module
from trainingjob.tabular.families.known import FAMILIES

LOSS = {"strategy": "SingleMetric", "metric": {"name": "eval/loss", "goal": "Minimize"}}
ROUNDS = 12


def searching(folder: Path, model: str = "xgboost_binary_classification", **search: Any) -> dict[str, Any]:
    """A search over the demonstration's data, small enough to be run many times."""
    config = demo_config(folder, evaluation={"everySteps": 3}, scoring=LOSS, checkpoints={"keepLast": 1})
    rounds = {
        "xgboost": {"nEstimators": ROUNDS},
        "lightgbm": {"nEstimators": ROUNDS},
        "catboost": {"iterations": ROUNDS},
        "keras": {"epochs": 4},
    }
    family = model.removesuffix("_binary_classification").removesuffix("_regression")
    parameters = {**rounds.get(family, {}), **({"nEstimators": 5} if family == "random_forest" else {})}
    tabular = {
        **config["trainer"]["tabular"],
        "modelType": model,
        "parameters": parameters,
        "search": {"trials": 4, **search},
    }
    return {**config, "trainer": {"tabular": tabular}}


def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "output" / "search.json").read_text())
    return found


def lasting(found: dict[str, Any]) -> dict[str, Any]:
    """What no two runs of one search may have different."""
    return {**found, "trials": [{**trial, "seconds": 0} for trial in found["trials"]]}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    return run(folder, searching(folder, trials=8))


def test_each_trial_is_a_step_and_the_best_is_the_result(done):
    assert done.code == ExitCode.SUCCESS
    (totals,) = of_type(done.events, "totals")
    assert (totals["totalSteps"], totals["evaluationEverySteps"], totals["checkpointEverySteps"]) == (8, 1, 1)
    assert totals["notes"][0].startswith(
        "a step is a trial of the search: 8 by TPE, seed 42; pruner Median, over maxDepth, learn"
    )
    trials = document(done.folder)["trials"]
    assert [trial["number"] for trial in trials] == list(range(1, 9))
    complete = {trial["number"]: trial for trial in trials if trial["state"] == "Complete"}
    assert [event["step"] for event in done.evaluations] == list(complete)
    for event in done.evaluations:
        assert event["evalLoss"] == complete[event["step"]]["score"]
        assert (event["trainLossStep"], event["trainLoss"]) == (event["step"], event["metrics"]["train/loss"])
    best = min(complete.values(), key=lambda trial: trial["score"])
    (result,) = of_type(done.events, "result")
    assert result["bestStep"] == done.metrics["best_step"] == document(done.folder)["best_trial"] == best["number"]
    assert done.metrics["val_loss"] == done.metrics["score"] == best["score"]
    assert done.metrics["n_estimators"] == best["rounds"]
    assert best["number"] in done.stored_checkpoints
    counts = {name: sum(trial["state"] == name for trial in trials) for name in ("Complete", "Pruned", "Failed")}
    *_, last = of_type(done.events, "search")
    assert last["trials"] == 8
    assert [last[name.lower()] for name in counts] == list(counts.values())
    assert last["bestTrial"] == best["number"]
    assert {name: float(text) for name, text in last["bestParameters"].items()} == pytest.approx(
        best["parameters"], rel=1e-5
    )
    assert done.metrics["search"] == {
        "trials": 8,
        **{name.lower(): count for name, count in counts.items()},
        "best_trial": best["number"],
        "parameters": best["parameters"],
    }


def test_all_that_is_reported_can_be_sent(done):
    for event in done.events:
        parse_event(json.dumps(event).encode())


def test_what_is_stored_is_whole_and_shown(done):
    verify((done.folder / "output").as_uri())
    report = (done.folder / "output" / "report.html").read_text()
    assert "<h2>Search</h2>" in report
    assert "Score of each trial" in report
    assert "Loss on training and evaluation rows, by round" in report
    assert (done.folder / "output" / "search_history.png").stat().st_size > 1000
    assert f"trial {done.metrics['best_step']} was the best" in (done.folder / "output" / "README.md").read_text()


def test_predict_repeats_the_predictions_of_the_best_trial(done, tmp_path):
    output = done.folder / "output"
    out = tmp_path / "predictions.csv"
    arguments = [
        "predict",
        "--model",
        output.as_uri(),
        "--data",
        (output / "heldout.csv").as_uri(),
        "--output",
        str(out),
    ]
    assert main(arguments) == 0
    assert out.read_bytes() == (output / "predictions.csv").read_bytes()


def test_best_model_is_that_of_a_plain_run_with_its_parameters(done, tmp_path):
    best = done.metrics["search"]
    plain = searching(tmp_path)
    tabular = {**plain["trainer"]["tabular"]}
    del tabular["search"]
    tabular["parameters"] = {**tabular["parameters"], **best["parameters"]}
    alone = run(tmp_path, {**plain, "trainer": {"tabular": tabular}})
    trial = document(done.folder)["trials"][best["best_trial"] - 1]
    assert alone.metrics["best_step"] == trial["rounds"]
    model = "output/model.json"
    assert (tmp_path / model).read_bytes() == (done.folder / model).read_bytes()


def test_the_same_seed_gives_the_same_trials_and_another_others(done, tmp_path):
    for name, seed in (("same", 42), ("other", 5)):
        (tmp_path / name).mkdir()
        run(tmp_path / name, searching(tmp_path / name, trials=8, seed=seed))
    assert lasting(document(tmp_path / "same")) == lasting(document(done.folder))
    assert document(tmp_path / "other")["trials"][0]["parameters"] != document(done.folder)["trials"][0]["parameters"]


class HostLost(BaseException):
    """Nothing in a trial may take it for the trial's own fault."""


def lost(folder: Path, config: dict[str, Any], advances: int) -> Finished:
    """What a run leaves whose host is lost after so many rounds, whatever trial they belong to."""
    boosting: Any = family_module("xgboost").Boosting  # type: ignore[attr-defined]
    whole, count = boosting.advance, 0

    def advance(model, to):
        nonlocal count
        count += 1
        if count > advances:
            raise HostLost
        whole(model, to)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "advance", advance)
        with pytest.raises(HostLost):
            run(folder, config)
    return Finished(folder, 1, read_events(folder / "events.jsonl"))


@pytest.mark.parametrize(("sampler", "pruner"), [("TPE", "Median"), ("TPE", "SuccessiveHalving"), ("Random", "None")])
def test_the_next_attempt_goes_on_with_the_finished_trials(tmp_path, sampler, pruner):
    folders = [tmp_path / "whole", tmp_path / "broken"]
    for folder in folders:
        folder.mkdir()
    # TPE learns from the eleventh trial on.
    search = {"trials": 13, "sampler": sampler, "pruner": pruner}
    whole = run(folders[0], searching(folders[0], **search))
    before = lost(folders[1], searching(folders[1], **search), 5 * ROUNDS + 2)
    finished = len(of_type(before.events, "search"))
    assert finished >= 5
    after = resumed(before, searching(folders[1], **search))
    (words,) = of_type(after.events, "resumed")
    assert words["step"] == finished
    assert min(event["step"] for event in after.evaluations) > finished
    assert of_type(after.events, "search")[0]["complete"] == of_type(before.events, "search")[-1]["complete"]
    assert lasting(document(folders[1])) == lasting(document(folders[0]))
    assert after.lasting_metrics == whole.lasting_metrics
    assert (folders[1] / "output" / "model.json").read_bytes() == (folders[0] / "output" / "model.json").read_bytes()


def test_a_checkpoint_of_another_search_is_passed_over(tmp_path):
    before = lost(tmp_path, searching(tmp_path), 2 * ROUNDS + 3)
    after = resumed(before, searching(tmp_path, seed=7))
    (words,) = of_type(after.events, "resumed")
    assert (words["step"], words["uri"]) == (0, None)
    assert all("search.json is of another search" in entry["reason"] for entry in words["rejected"])
    assert after.metrics["search"]["trials"] == 4


def test_a_search_that_was_done_only_stores_its_result_again(tmp_path):
    config = searching(tmp_path)
    before = run(tmp_path, config)
    metrics = before.lasting_metrics
    after = resumed(before, config)
    assert after.evaluations == []
    assert after.lasting_metrics == metrics


def test_a_trial_that_diverges_has_failed_and_the_search_goes_on(tmp_path):
    space = [{"name": "learningRate", "choices": ["0.1", "1e37"]}]
    done = run(tmp_path, searching(tmp_path, "xgboost_regression", sampler="Grid", space=space))
    failed, complete = sorted(document(tmp_path)["trials"], key=lambda trial: -trial["parameters"]["learningRate"])
    assert (failed["state"], complete["state"]) == ("Failed", "Complete")
    (alert,) = of_type(done.events, "alert")
    assert (alert["name"], alert["severity"]) == ("TrialFailed", "Warning")
    assert alert["message"].startswith(f"trial {failed['number']} of 2 failed: ")
    assert alert["message"].endswith("its parameters: learningRate 1e+37")
    assert failed["number"] in [event["step"] for event in of_type(done.events, "point")]
    assert [event["step"] for event in done.evaluations] == [complete["number"]]
    assert done.metrics["search"]["failed"] == 1


def test_a_search_whose_trials_all_fail_ends_with_the_reason(tmp_path):
    space = [{"name": "learningRate", "choices": ["1e36", "1e37"]}]
    with pytest.raises(
        TrainingError, match=r"no trial of 2 gave a model; . of them failed so: .*; change trainer"
    ) as caught:
        run(tmp_path, searching(tmp_path, "xgboost_regression", sampler="Grid", space=space))
    assert caught.value.code == ExitCode.DIVERGED


def test_a_grid_has_each_combination_once(tmp_path):
    space = [
        {"name": "maxDepth", "low": 1, "high": 3},
        {"name": "subsample", "low": "0.5", "high": "0.7", "step": "0.1"},
    ]
    done = run(tmp_path, searching(tmp_path, sampler="Grid", trials=50, pruner="None", space=space))
    (totals,) = of_type(done.events, "totals")
    assert totals["totalSteps"] == 9
    assert totals["notes"][1] == "the grid has 9 combinations, fewer than the 50 trials asked for"
    found = {
        (trial["parameters"]["maxDepth"], trial["parameters"]["subsample"]) for trial in document(tmp_path)["trials"]
    }
    assert found == {(depth, share) for depth in (1, 2, 3) for share in (0.5, 0.6, 0.7)}


def test_early_stopping_ends_single_trials(tmp_path):
    rule = {"patience": 1, "minDelta": "1000"}
    done = run(tmp_path, {**searching(tmp_path, pruner="None"), "earlyStopping": rule})
    # The second evaluation of each does not better its first by so much.
    assert [len(trial["reported"]) for trial in document(tmp_path)["trials"]] == [2, 2, 2, 2]
    assert of_type(done.events, "alert") == []
    assert len(done.evaluations) == 4


def test_no_trial_begins_when_the_time_is_up(tmp_path):
    done = run(tmp_path, searching(tmp_path, trials=1000, timeoutSeconds=1))
    (alert,) = of_type(done.events, "alert")
    count = done.metrics["search"]["trials"]
    assert (alert["name"], alert["severity"]) == ("SearchTimedOut", "Info")
    assert alert["message"].startswith(f"{count} of 1000 trials took ")
    assert 1 <= count < 1000
    assert done.metrics["training_seconds"] >= 1


def test_scored_by_another_metric(tmp_path):
    scoring = {"strategy": "SingleMetric", "metric": {"name": "eval/auc", "goal": "Maximize"}}
    done = run(tmp_path, {**searching(tmp_path), "scoring": scoring})
    best = max(event["metrics"]["eval/auc"] for event in done.evaluations)
    assert done.metrics["score"] == -best


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_space_of_its_own(family, tmp_path):
    done = run(tmp_path, searching(tmp_path, f"{family}_binary_classification", trials=2))
    found = document(tmp_path)
    assert {len(trial["parameters"]) for trial in found["trials"]} == {len(found["space"])}
    assert len(found["space"]) >= 2
    assert done.metrics["search"]["complete"] == 2


def test_a_checkpoint_that_is_asked_for_is_that_of_the_last_trial(tmp_path, monkeypatch):
    boosting: Any = family_module("xgboost").Boosting  # type: ignore[attr-defined]
    whole, wanted, count = boosting.advance, tmp_path / "checkpoint-request", 0
    monkeypatch.setenv("TRAININGJOB_CHECKPOINT", str(wanted))

    def advance(model, to):
        nonlocal count
        count += 1
        if count == 2 * ROUNDS + 2:
            wanted.write_text("now")
        whole(model, to)

    monkeypatch.setattr(boosting, "advance", advance)
    done = run(tmp_path, searching(tmp_path, pruner="None"))
    told = [event["step"] for event in of_type(done.events, "checkpoint") if event["verified"]]
    assert told == [1, 2, 2, 3, 4]


def test_a_stop_keeps_the_finished_trials(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(searching(tmp_path, trials=1000)))
    events = tmp_path / "events.jsonl"
    events.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "trainingjob", "run", "--config", str(config)],
        env={**os.environ, "TRAININGJOB_EVENTS": str(events)},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(of_type(read_events(events), "search")) >= 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == ExitCode.STOPPED
    finally:
        process.kill()
        process.wait()
    done = Finished(tmp_path, ExitCode.STOPPED, read_events(events))
    *_, last = of_type(done.events, "search")
    assert done.metrics["search"]["trials"] == last["complete"] + last["pruned"] + last["failed"]
    (result,) = of_type(done.events, "result")
    assert result["bestStep"] == last["bestTrial"]
    assert verified(done.events)[0]["step"] == done.metrics["search"]["trials"]


def test_a_stop_before_the_first_trial_is_done_leaves_nothing_to_keep(tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "should_stop", lambda: True)
    done = run(tmp_path, searching(tmp_path))
    assert done.code == ExitCode.STOPPED
    assert of_type(done.events, "result") == []
    assert not (tmp_path / "output").exists()

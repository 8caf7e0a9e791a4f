"""Gradient boosting for real, on the data of the demonstration."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost as xgb
from sklearn.metrics import log_loss

from tests.demojob import demo_config, of_type, read_events, with_parameters
from tests.finished import Finished, run
from tests.waiting import wait_until
from trainingjob import keeper
from trainingjob.cli import main
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.scoring.best import BestTracker, Evaluation, Scoring
from trainingjob.storage.manifest import verify


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return run(folder, demo_config(folder))


def held_out(folder):
    rows = np.genfromtxt(folder / "output" / "heldout.csv", delimiter=",", names=True)
    names = rows.dtype.names or ()
    return names[:-1], np.column_stack([rows[name] for name in names[:-1]]), rows[names[-1]]


def test_run_succeeds_and_tells_what_it_does(finished):
    assert finished.code == ExitCode.SUCCESS
    kinds = [event["type"] for event in finished.events]
    assert kinds[:3] == ["stage", "dataset", "totals"]
    assert kinds[-1] == "result"
    (dataset,) = of_type(finished.events, "dataset")
    assert (dataset["samples"], dataset["trainSamples"], dataset["evalSamples"]) == (442, 353, 89)
    (totals,) = of_type(finished.events, "totals")
    assert (totals["totalSteps"], totals["evaluationEverySteps"], totals["checkpointEverySteps"]) == (200, 20, 20)
    assert [event["step"] for event in finished.evaluations] == list(range(20, 201, 20))
    stages = {event["stage"] for event in of_type(finished.events, "stage")}
    assert stages == {"Loading", "Training", "Evaluating", "Checkpointing", "Uploading"}


def test_each_evaluation_carries_the_train_loss_of_its_own_step(finished):
    points = {point["step"]: point["metrics"]["train/loss"] for point in of_type(finished.events, "point")}
    for event in finished.evaluations:
        assert (event["trainLossStep"], event["trainLoss"]) == (event["step"], points[event["step"]])


def test_best_step_is_that_of_the_score_and_not_of_the_lowest_loss(finished):
    tracker = BestTracker(Scoring(None, "Minimize"))
    for event in finished.evaluations:
        tracker.add(Evaluation(event["step"], event["evalLoss"], event["trainLoss"]))
    assert finished.metrics["best_step"] == tracker.best_step == 60
    assert finished.metrics["score"] == tracker.best_score
    lowest = min(finished.evaluations, key=lambda event: event["evalLoss"])
    assert finished.metrics["lowest_eval_loss"]["step"] == lowest["step"] != 60
    assert finished.metrics["accuracy"] > finished.metrics["lowest_eval_loss"]["accuracy"]


def test_model_in_plain_xgboost_reaches_what_the_metrics_state(finished):
    names, x, y = held_out(finished.folder)
    model = xgb.Booster(model_file=str(finished.folder / "output" / "model.json"))
    probability = model.predict(xgb.DMatrix(x, feature_names=list(names))).astype(np.float64)
    stated = finished.metrics
    assert stated["rows"]["evaluation"] == len(y) == 89
    assert np.mean((probability > 0.5) == (y == 1)) == pytest.approx(stated["accuracy"], abs=1e-12)
    assert log_loss(y, probability) == pytest.approx(stated["log_loss"], rel=1e-9)
    assert model.num_boosted_rounds() == 60
    (event,) = (event for event in finished.evaluations if event["step"] == 60)
    assert (event["evalLoss"], event["metrics"]["eval/accuracy"]) == (stated["val_loss"], stated["accuracy"])


def test_what_is_stored_is_whole(finished):
    output = finished.folder / "output"
    assert {path.name for path in output.iterdir()} == {
        "model.json",
        "pipeline.json",
        "schema.json",
        "metrics.json",
        "heldout.csv",
        "predictions.csv",
        "report.html",
        "README.md",
        "confusion_matrix.png",
        "roc.png",
        "precision_recall.png",
        "calibration.png",
        "learning_curve.png",
        "feature_importance.png",
        "manifest.json",
    }
    verify(output.as_uri())
    (result,) = of_type(finished.events, "result")
    assert (result["bestStep"], result["output"]["uri"]) == (60, output.as_uri())
    for step in finished.stored_checkpoints:
        verify((finished.folder / "checkpoints" / f"checkpoint-{step}").as_uri())


def test_best_checkpoint_survives_rotation(finished):
    # keepLast is 1: the newest, and the best, which came long before.
    assert finished.stored_checkpoints == [60, 200]
    reported = of_type(finished.events, "checkpoint")
    removed = {event["step"] for event in reported if event.get("removed")}
    assert removed == {20, 40, 80, 100, 120, 140, 160, 180}
    assert {event["step"] for event in reported if event["verified"]} == set(range(20, 201, 20))


def test_checkpoint_holds_the_state_of_the_scorer(finished):
    state = json.loads((finished.folder / "checkpoints" / "checkpoint-200" / "scorer.json").read_text())
    last = finished.evaluations[-1]
    assert (state["bestStep"], state["bestScore"]) == (60, finished.metrics["score"])
    assert state["previousEvalLoss"] == last["evalLoss"]
    assert {int(step): metrics["eval/loss"] for step, metrics in state["evaluations"].items()} == {
        event["step"]: event["evalLoss"] for event in finished.evaluations
    }
    assert state["scores"]["60"] == min(state["scores"].values()) == finished.metrics["score"]
    assert state["datasetSHA256"] == finished.metrics["dataset_sha256"]


def test_same_seeds_give_the_same_metrics(finished, tmp_path):
    again = run(tmp_path, demo_config(tmp_path))
    assert again.lasting_metrics == finished.lasting_metrics


def test_another_seed_gives_other_metrics(finished, tmp_path):
    other = run(tmp_path, with_parameters(demo_config(tmp_path), randomState=7))
    assert other.metrics["log_loss"] != finished.metrics["log_loss"]
    assert other.metrics["dataset_sha256"] == finished.metrics["dataset_sha256"]


def test_evaluation_interval_beyond_the_run_is_clamped_and_said(tmp_path):
    done = run(tmp_path, with_parameters(demo_config(tmp_path, evaluation={"everySteps": 50}), nEstimators=7))
    (totals,) = of_type(done.events, "totals")
    assert (totals["evaluationEverySteps"], totals["requestedEvaluationEverySteps"]) == (7, 50)
    assert "evaluation every 50 steps was clamped to the run's 7" in totals["notes"]
    assert [event["step"] for event in done.evaluations] == [7]
    assert done.metrics["best_step"] == 7


def test_last_round_is_evaluated_whatever_the_interval(tmp_path):
    done = run(tmp_path, with_parameters(demo_config(tmp_path), nEstimators=25))
    assert [event["step"] for event in done.evaluations] == [20, 25]


def test_checkpoint_interval_keeps_best_and_last(tmp_path):
    config = demo_config(tmp_path, checkpoints={"everySteps": 80, "keepLast": 9})
    done = run(tmp_path, config)
    # A new best is saved at once (20, 40, 60), others at 80 and 160, and the last.
    assert done.stored_checkpoints == [20, 40, 60, 80, 160, 200]


def test_checkpoint_by_minutes_needs_no_evaluation(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "_MINUTE_SECONDS", 0)
    parameters = {"everySteps": 80, "everyMinutes": 1, "keepLast": 9}
    done = run(tmp_path, with_parameters(demo_config(tmp_path, checkpoints=parameters), nEstimators=80))
    steps = [event["step"] for event in of_type(done.events, "checkpoint") if event["verified"]]
    assert [step for step in steps if step % 20] != []
    assert len(steps) == len(set(steps))


def test_single_metric_on_accuracy(tmp_path):
    scoring = {"strategy": "SingleMetric", "metric": {"name": "eval/accuracy", "goal": "Maximize"}}
    done = run(tmp_path, demo_config(tmp_path, scoring=scoring))
    best = max(event["metrics"]["eval/accuracy"] for event in done.evaluations)
    first = next(event["step"] for event in done.evaluations if event["metrics"]["eval/accuracy"] == best)
    assert (done.metrics["best_step"], done.metrics["score"]) == (first, -best)


def test_missing_values_are_trained_on(tmp_path):
    config = demo_config(tmp_path)
    data = tmp_path / "diabetes.csv"
    header, *rows = data.read_text().splitlines()
    data.write_text("\n".join([header, *("," + row.split(",", 1)[1] for row in rows[:100]), *rows[100:]]) + "\n")
    assert run(tmp_path, with_parameters(config, nEstimators=20)).code == ExitCode.SUCCESS


def test_another_learning_rate_is_answered_in_words_and_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "rate").write_text("0.5")
    monkeypatch.setenv("TRAININGJOB_LEARNING_RATE", str(tmp_path / "rate"))
    done = run(tmp_path, with_parameters(demo_config(tmp_path), nEstimators=20))
    (alert,) = [event for event in done.events if event["type"] == "alert"]
    assert (alert["name"], alert["severity"]) == ("LearningRateRefused", "Warning")
    assert alert["message"].startswith(
        "the learning rate 0.5 was not taken: a tabular job keeps that of trainer.tabular"
    )


FAULTS = [
    ({"checkpoints": None}, ExitCode.CONFIGURATION, "a tabular job needs checkpoints with a uri"),
    ({"storage": {"checkpoints": "file:///tmp/c"}}, ExitCode.CONFIGURATION, "a tabular job needs output with a uri"),
    (
        {"scoring": {"strategy": "SingleMetric", "metric": {"name": "eval/acc", "goal": "Maximize"}}},
        ExitCode.CONFIGURATION,
        'scoring.metric.name: "eval/acc" is no metric of a binary_classification. Did you mean "eval/auc"? '
        "Known here: eval/loss, eval/accuracy, eval/auc",
    ),
]


@pytest.mark.parametrize(("members", "code", "sentence"), FAULTS, ids=[sentence[:40] for *_, sentence in FAULTS])
def test_job_that_cannot_be_done(tmp_path, members, code, sentence):
    with pytest.raises(TrainingError) as caught:
        run(tmp_path, demo_config(tmp_path, **members))
    assert caught.value.code == code
    assert sentence in str(caught.value)


@pytest.mark.parametrize("blocked", ["output", "checkpoints"])
def test_storage_that_cannot_be_written(tmp_path, blocked):
    config = with_parameters(demo_config(tmp_path), nEstimators=20)
    (tmp_path / blocked).write_text("a file where the folder should be")
    with pytest.raises(
        TrainingError, match=f"{blocked}.* cannot be written: .*; check the volume's free space"
    ) as caught:
        run(tmp_path, config)
    assert caught.value.code == ExitCode.ARTIFACTS


@pytest.mark.parametrize("how", ["stop file", "signal"])
def test_stop_request_ends_the_run_with_its_best_model(tmp_path, how):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(with_parameters(demo_config(tmp_path), nEstimators=1_000_000)))
    events, stop = tmp_path / "events.jsonl", tmp_path / "stop"
    events.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "trainingjob", "run", "--config", str(config)],
        env={**os.environ, "TRAININGJOB_EVENTS": str(events), "TRAININGJOB_STOP": str(stop)},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(of_type(read_events(events), "evaluation")) >= 2)
        if how == "signal":
            process.send_signal(signal.SIGTERM)
        else:
            stop.touch()
        assert process.wait(60) == ExitCode.STOPPED
    finally:
        process.kill()
        process.wait()
    done = Finished(tmp_path, ExitCode.STOPPED, read_events(events))
    verify((tmp_path / "output").as_uri())
    (result,) = of_type(done.events, "result")
    assert result["bestStep"] == done.metrics["best_step"]
    last = done.evaluations[-1]["step"]
    assert last < 1_000_000
    assert last in done.stored_checkpoints


def test_parquet_with_spaces_in_names_and_open_ends_is_predicted_again_from_its_heldout_csv(tmp_path):
    config = demo_config(tmp_path)
    # As a database writes a period without an end.
    ends = [253_402_300_799_999_999 if row % 3 else row * 86_400_000_000 for row in range(200)]
    columns = {
        " age ": list(range(200)),
        "valid to": pa.array(ends, pa.timestamp("us")),
        "y": [r % 2 for r in range(200)],
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    tabular = config["trainer"]["tabular"]
    tabular.update(dataset={"source": (tmp_path / "t.parquet").as_uri()}, target="y", parameters={"nEstimators": 3})
    done = run(tmp_path, config)
    assert done.code == ExitCode.SUCCESS
    output, again = tmp_path / "output", tmp_path / "again.csv"
    header, *rows = (output / "heldout.csv").read_text().splitlines()
    assert header == "age,valid to,y"
    assert any("9999-12-31T23:59:59.999968" in row for row in rows)
    asked = ["--model", str(output), "--data", str(output / "heldout.csv"), "--output", str(again)]
    assert main(["predict", *asked]) == 0
    assert again.read_bytes() == (output / "predictions.csv").read_bytes()

"""What `report()` writes, with and without an agent."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.demojob import read_events
from trainingjob import checkpoint_requested, report, reporting, should_stop


@pytest.fixture
def events(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv("TRAININGJOB_EVENTS", str(path))

    def read():
        found = read_events(path)
        for event in found:
            del event["time"]
        return found

    return read


def test_zero_is_a_value(events):
    report(0, {"train/loss": 0.0}, epoch=0, total_steps=0)
    assert events() == [
        {"type": "totals", "totalSteps": 0},
        {"type": "point", "step": 0, "epoch": 0.0, "metrics": {"train/loss": 0.0}},
    ]


def test_what_is_not_finite_is_null_and_named(events):
    report(1, {"train/loss": math.nan, "lr": 0.1, "grad": math.inf, "low": -math.inf}, epoch=math.nan)
    assert events() == [
        {
            "type": "point",
            "step": 1,
            "epoch": None,
            "metrics": {"train/loss": None, "lr": 0.1, "grad": None, "low": None},
            "nonFinite": ["train/loss", "grad", "low"],
        }
    ]


def test_eval_loss_that_is_not_finite_is_null_and_named(events):
    report(5, {"eval/loss": math.nan, "eval/accuracy": 0.5}, evaluation=True)
    assert events() == [
        {
            "type": "evaluation",
            "step": 5,
            "evalLoss": None,
            "trainLoss": None,
            "trainLossStep": None,
            "metrics": {"eval/accuracy": 0.5},
            "nonFinite": ["eval/loss"],
        }
    ]


def test_numbers_of_numpy_are_numbers(events):
    report(np.int64(3), {"train/loss": np.float32(0.5)}, epoch=np.float32(0.25), total_steps=np.int32(9))
    assert events() == [
        {"type": "totals", "totalSteps": 9},
        {"type": "point", "step": 3, "epoch": 0.25, "metrics": {"train/loss": 0.5}},
    ]


@pytest.mark.parametrize(
    ("step", "metrics", "options", "sentence"),
    [
        (True, {}, {}, "step must be a whole number of at least 0, not True"),
        (-1, {}, {}, "step must be a whole number of at least 0, not -1"),
        (1.0, {}, {}, "step must be a whole number of at least 0, not 1.0"),
        ("1", {}, {}, "step must be a whole number of at least 0, not '1'"),
        (1, {}, {"total_steps": -5}, "total_steps must be a whole number of at least 0, not -5"),
        (1, {f"m{index}": 0.0 for index in range(65)}, {}, "65 metrics are too many; report at most 64"),
        (1, {"train loss": 0.0}, {}, "'train loss' is no name of a metric"),
        (1, {"": 0.0}, {}, "'' is no name of a metric"),
        (1, {"m" * 65: 0.0}, {}, "is no name of a metric"),
        (1, {"train/loss": None}, {}, 'metric "train/loss" must be a number, not None'),
        (1, {"train/loss": "low"}, {}, "metric \"train/loss\" must be a number, not 'low'"),
    ],
)
def test_wrong_report(events, step, metrics, options, sentence):
    with pytest.raises(ValueError) as caught:
        report(step, metrics, **options)
    assert sentence in str(caught.value)


def test_64_metrics_are_taken(events):
    report(1, {f"m{index}": 1.0 for index in range(64)})
    assert len(events()[0]["metrics"]) == 64


def test_evaluation_carries_the_newest_train_loss_at_or_before_it(events):
    def train_loss_at(step):
        report(step, {"eval/loss": 1.0}, evaluation=True)
        event = events()[-1]
        return event["trainLossStep"], event["trainLoss"]

    assert train_loss_at(5) == (None, None)
    report(10, {"train/loss": 1.0})
    assert train_loss_at(9) == (None, None)
    assert train_loss_at(10) == (10, 1.0)
    report(20, {"train/loss": 0.5})
    report(20, {"train/loss": 0.4})
    report(21, {"lr": 0.1})
    report(22, {"train/loss": math.nan})
    assert train_loss_at(25) == (20, 0.4)
    # An evaluation that is late, of a step that training has passed by.
    assert train_loss_at(19) == (10, 1.0)


def test_evaluation_may_bring_its_own_train_loss(events):
    report(10, {"train/loss": 0.0, "eval/loss": 0.0}, evaluation=True)
    assert events() == [
        {
            "type": "evaluation",
            "step": 10,
            "evalLoss": 0.0,
            "trainLoss": 0.0,
            "trainLossStep": 10,
            "metrics": {"train/loss": 0.0},
        }
    ]


def test_without_an_agent_events_are_shown(capsys):
    report(1, {"train/loss": 1.0})
    shown = json.loads(capsys.readouterr().err)
    assert (shown["type"], shown["step"], shown["metrics"]) == ("point", 1, {"train/loss": 1.0})


def test_writers_that_share_the_file_keep_lines_whole(tmp_path):
    path = tmp_path / "events.jsonl"
    code = (
        "import sys; from trainingjob import report\n"
        "for step in range(300): report(step, {f'writer{sys.argv[1]}/m{i}': 1 / 3 for i in range(60)})"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(index)], env={**os.environ, "TRAININGJOB_EVENTS": str(path)})
        for index in range(4)
    ]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    found = read_events(path)
    for index in range(4):
        own = [event["step"] for event in found if f"writer{index}/m0" in event["metrics"]]
        assert own == list(range(300))
    assert len(found) == 1200


def test_stop_is_asked_for_by_file_or_signal(tmp_path, monkeypatch):
    stop = tmp_path / "stop"
    monkeypatch.setenv("TRAININGJOB_STOP", str(stop))
    assert not should_stop()
    stop.touch()
    assert should_stop()
    stop.unlink()
    assert not should_stop()
    reporting.request_stop()
    assert should_stop()


def test_request_for_a_checkpoint_is_true_once(tmp_path, monkeypatch):
    assert not checkpoint_requested()
    file = tmp_path / "checkpoint"
    monkeypatch.setenv("TRAININGJOB_CHECKPOINT", str(file))
    assert not checkpoint_requested()
    for request in ("1", "2"):
        file.write_text(request)
        assert [checkpoint_requested() for _ in range(3)] == [True, False, False]
    file.write_text("")
    assert not checkpoint_requested()

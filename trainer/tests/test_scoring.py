"""Scores, best steps and the loss window. The vectors are shared with the operator's own implementation."""

import json
import math
from pathlib import Path

import pytest

from trainingjob.scoring.best import BestTracker, Evaluation, Scoring
from trainingjob.scoring.score import multi_metric_score, single_metric_score
from trainingjob.scoring.window import WINDOW_SIZE, LossWindow
from trainingjob.scoring.words import initialised, told

DATA = json.loads((Path(__file__).parents[2] / "test" / "data" / "score-vectors.json").read_text())
MULTI = Scoring(metric=None, goal="Minimize")


def near(value):
    return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-15)


def test_there_are_vectors_and_trajectories():
    assert len(DATA["vectors"]) >= 10
    assert len(DATA["trajectories"]) >= 2


@pytest.mark.parametrize("vector", DATA["vectors"], ids=lambda vector: f"{vector['evalLoss']}-{vector['trainLoss']}")
def test_vector(vector):
    # JSON has no numbers that are not finite, so they are texts there.
    losses = [None if vector[name] is None else float(vector[name]) for name in ("evalLoss", "trainLoss")]
    got = multi_metric_score(*losses, improved=vector["improvedSincePreviousEval"])
    wanted = vector["expected"]
    if wanted is None:
        assert got is None
        return
    assert got is not None
    assert got.score == near(wanted["score"])
    assert got.components == {name: near(value) for name, value in wanted["components"].items()}


@pytest.mark.parametrize("trajectory", DATA["trajectories"], ids=lambda trajectory: f"{len(trajectory)} evaluations")
def test_trajectory(trajectory):
    tracker = BestTracker(MULTI)
    for entry in trajectory:
        before = tracker.best_step
        scored = tracker.add(Evaluation(entry["step"], entry["evalLoss"], entry["trainLoss"]))
        assert (None if scored.score is None else scored.score.score) == near(entry["score"])
        assert scored.improved == (entry["improvedSincePreviousEval"] and entry["score"] is not None)
        assert (tracker.best_step, tracker.best_score) == (entry["bestStep"], near(entry["bestScore"]))
        assert scored.is_best == (tracker.best_step != before)


@pytest.mark.parametrize(
    ("eval_loss", "train_loss"),
    [(None, 1.0), (math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, -math.inf), (1e308, -1e308)],
)
def test_what_is_not_finite_cannot_be_scored(eval_loss, train_loss):
    assert multi_metric_score(eval_loss, train_loss, improved=True) is None


def test_components_add_up_to_the_score():
    got = multi_metric_score(1.4, 1.2, improved=True)
    assert got is not None
    assert sum(got.components.values()) == near(got.score)


def test_first_evaluation_counts_as_improved():
    scored = BestTracker(MULTI).add(Evaluation(10, 1.0, 1.0))
    assert scored.improved
    assert scored.score is not None
    assert scored.score.components["bonus"] == -0.1


def test_incumbent_keeps_the_score_that_it_earned():
    tracker = BestTracker(MULTI)
    tracker.add(Evaluation(10, 1.0, 1.0))
    earned = tracker.best_score
    # The same losses again have no bonus, so they are worse: the step stays, and so does its score.
    again = tracker.add(Evaluation(20, 1.0, 1.0))
    assert not again.is_best
    assert (tracker.best_step, tracker.best_score) == (10, earned)


def test_challenger_must_be_strictly_lower():
    tracker = BestTracker(Scoring("eval/accuracy", "Maximize"))
    tracker.add(Evaluation(10, 0.5, None, {"eval/accuracy": 0.75}))
    assert not tracker.add(Evaluation(20, 0.4, None, {"eval/accuracy": 0.75})).is_best
    assert tracker.add(Evaluation(30, 0.6, None, {"eval/accuracy": 0.76})).is_best
    assert (tracker.best_step, tracker.best_score) == (30, -0.76)


@pytest.mark.parametrize("loss", [None, math.nan, math.inf])
def test_unscorable_evaluation_changes_nothing(loss):
    tracker = BestTracker(MULTI)
    tracker.add(Evaluation(10, 1.0, 1.0))
    before = (tracker.best_step, tracker.best_score, tracker.previous_eval_loss)
    scored = tracker.add(Evaluation(20, loss, 0.1))
    assert (scored.score, scored.improved, scored.is_best) == (None, False, False)
    assert (tracker.best_step, tracker.best_score, tracker.previous_eval_loss) == before
    # The next one is compared with the last that counted.
    assert tracker.add(Evaluation(30, 0.9, 0.9)).improved


def test_single_metric_minimizes_the_eval_loss():
    tracker = BestTracker(Scoring("eval/loss", "Minimize"))
    for step, loss in [(1, 0.0), (2, -0.5), (3, 0.0)]:
        tracker.add(Evaluation(step, loss, None))
    assert (tracker.best_step, tracker.best_score) == (2, -0.5)


def test_single_metric_that_is_absent_is_unscorable():
    tracker = BestTracker(Scoring("eval/f1", "Maximize"))
    assert tracker.add(Evaluation(1, 0.5, None, {"eval/accuracy": 1.0})).score is None
    assert tracker.add(Evaluation(2, 0.5, None, {"eval/f1": None})).score is None
    assert single_metric_score("eval/f1", math.nan, "Maximize") is None
    assert tracker.best_step is None


def test_window_keeps_the_last_ten_oldest_first():
    window = LossWindow()
    assert window.losses == []
    for loss in range(25):
        window.push(float(loss))
    assert WINDOW_SIZE == 10
    assert window.losses == [float(loss) for loss in range(15, 25)]


def test_window_ignores_what_is_absent_or_not_finite():
    window = LossWindow()
    for loss in (0.0, None, math.nan, math.inf, -math.inf, 1.0):
        window.push(loss)
    assert window.losses == [0.0, 1.0]


@pytest.mark.parametrize(
    ("losses", "trend"),
    [
        ([], "insufficient_data"),
        ([1.0, 0.5], "insufficient_data"),
        ([1.0, 0.9, 0.8, 0.7], "improving"),
        ([0.7, 0.8, 0.9, 1.0], "degrading"),
        ([1.0, 1.001, 0.999, 1.0], "stable"),
        # The middle of an odd count belongs to the newer half: (0.5 + 0.9) / 2 against 1.
        ([1.0, 0.5, 0.9], "improving"),
        # A drop of exactly the threshold is no trend yet.
        ([0.01, 0.0, 0.0], "stable"),
        # Only the last ten count.
        ([100.0] * 15 + [1.0] * 10, "stable"),
    ],
)
def test_trend(losses, trend):
    window = LossWindow()
    for loss in losses:
        window.push(loss)
    assert window.trend() == trend


def test_tracking_in_words():
    tracker = BestTracker(Scoring(None, "Minimize"))
    assert initialised(tracker).startswith("best step tracker initialised: scored by MultiMetric (eval loss, gap to")
    first = Evaluation(10, 2.0, 1.5)
    assert told(first, tracker.add(first)) == (
        "NEW BEST: step 10: eval loss 2.0000, train loss 1.5000; "
        "score 1.011945 (base 1.0000, gap 0.0750, perplexity 0.0369, bonus -0.1000)"
    )
    worse = Evaluation(20, 3.0, None)
    assert told(worse, tracker.add(worse)).startswith("step 20: eval loss 3.0000, train loss none; score 1.6")
    lost = Evaluation(30, None, None)
    assert told(lost, tracker.add(lost)) == (
        "step 30: eval loss none, train loss none; it cannot be scored and changes nothing"
    )
    assert "; best so far is step 10, 1.011945" in initialised(tracker)
    assert "scored by eval/auc, more is better;" in initialised(BestTracker(Scoring("eval/auc", "Maximize")))

"""Early stopping: when it ends a run, and that an attempt which goes on from there knows it."""

import pytest

from tests.demojob import demo_config, of_type, with_parameters
from tests.finished import run
from tests.interruption import resumed
from trainingjob.exitcodes import ExitCode
from trainingjob.tabular.earlystopping import exhausted
from trainingjob.tabular.parameters import EarlyStopping

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


@pytest.mark.parametrize(("scores", "patience", "delta", "ends"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_when_it_ends(scores, patience, delta, ends):
    by_step = {10 * (index + 1): score for index, score in enumerate(scores)}
    assert exhausted(by_step, EarlyStopping(patience, delta)) is ends


def stopping_config(folder):
    config = with_parameters(demo_config(folder), nEstimators=2000)
    config["trainer"]["tabular"]["earlyStopping"] = {"patience": 3}
    return config


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


def test_attempt_after_an_early_end_trains_no_further(tmp_path):
    config = stopping_config(tmp_path)
    before = run(tmp_path, config)
    again = resumed(before, config)
    assert again.evaluations == []
    assert again.lasting_metrics == before.lasting_metrics

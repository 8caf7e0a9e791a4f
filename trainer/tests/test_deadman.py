"""The pod's own end: a real agent whose operator falls silent, or whose time is up. Seconds here are hours there."""

import json
import math
import os

import pytest

from tests.pod import DEAF, HANGS, QUICK, both_ways, custom, is_alive
from trainingjob.agent.lease import Lease, parse_lease


def lease(remaining, ends_in=None):
    return {"remainingSeconds": remaining, "endsInSeconds": ends_in}


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


def job(program, output, **members):
    return custom(program, storage={"checkpoints": None, "output": output.as_uri()}, **members)


def stored(output):
    return json.loads((output / "final.json").read_text())


def wait_for_signs(server, count):
    seen = len(server.signs_of_life)
    server.wait_for(lambda: len(server.signs_of_life) >= seen + count)


@both_ways
def test_silent_operator_ends_training_and_pod_and_the_end_is_kept(start, output):
    server, pod = start(job(HANGS, output), env={"TRAININGJOB_DEAD_MAN_SECONDS": "600"})
    server.wait_for(lambda: server.steps == [1])
    server.last_lease = lease(0.5)
    server.wait_for(lambda: server.deletes == 1)
    final = stored(output)["final"]
    assert (final["outcome"], final["exitCode"], final["reason"]) == ("Stopped", 130, "DeadMan")
    assert final["message"] == (
        "The operator was silent for too long, so the pod ended the training itself; "
        "the trainer stopped, and what it stored is kept."
    )
    # The trainer was asked, not killed, and what it said last waits for the operator with the end.
    waiting = [event for batch in stored(output)["waiting"]["batches"] for event in batch]
    assert [event["step"] for event in waiting if event["type"] == "point"] == [2]
    assert pod.process.poll() is None
    assert pod.end() == 130


def test_answers_that_say_nothing_of_a_lease_move_nothing(start, output):
    server, _pod = start(job(HANGS, output), env={"TRAININGJOB_DEAD_MAN_SECONDS": "1"})
    assert server.wait_for_final()["reason"] == "DeadMan"
    server.wait_for(lambda: server.deletes == 1)


@both_ways
def test_operator_that_was_never_heard(start):
    server, pod = start(custom(HANGS), env={"TRAININGJOB_DEAD_MAN_SECONDS": "0.5"}, config_faults=[503] * 1000)
    server.wait_for(lambda: server.deletes == 1)
    assert server.requests == []
    pod.end()


def test_end_from_the_environment_holds_while_the_operator_says_nothing_of_it(start, output):
    server, _pod = start(job(HANGS, output), env={"TRAININGJOB_HARD_END_SECONDS": "1"})
    final = server.wait_for_final()
    assert (final["outcome"], final["exitCode"], final["reason"]) == ("Stopped", 130, "HardEnd")
    assert final["message"].startswith("The pod's time was up, by its deadline or by what the budget pays for")
    server.wait_for(lambda: server.deletes == 1)
    assert stored(output)["final"]["reason"] == "HardEnd"


def test_each_answer_moves_both_ends_later_or_sooner(start, output):
    server, pod = start(job(HANGS, output), env={"TRAININGJOB_HARD_END_SECONDS": "5"}, lease=lease(3, None))
    # Signs of life come every 0.2 s, so these span more than one answer gives, and more than the environment does.
    wait_for_signs(server, 30)
    assert (server.deletes, pod.process.poll()) == (0, None)
    server.lease = lease(600, 0.2)
    assert server.wait_for_final()["reason"] == "HardEnd"
    server.wait_for(lambda: server.deletes == 1)


def test_key_that_cannot_end_the_pod_is_tried_on_and_training_stops_all_the_same(start, output):
    server, _pod = start(
        job(HANGS, output), env={"TRAININGJOB_DEAD_MAN_SECONDS": "1"}, pod_status=403, delete_status=403
    )
    final = server.wait_for_final()
    assert (final["reason"], stored(output)["final"]["reason"]) == ("DeadMan", "DeadMan")
    server.wait_for(lambda: server.deletes == 2)
    assert server.of_type("started")[0]["deadMan"] == "Unarmed"
    (alert,) = server.of_type("alert")
    assert "it would stop training and keep its state, but Runpod would bill it" in alert["message"]


def test_trainer_that_does_not_stop_is_killed(start, output):
    config = job(DEAF, output, agent={**QUICK, "stopGraceSeconds": 0.5})
    server, _pod = start(config, lease=lease(600))
    server.wait_for(lambda: len(server.steps) == 2)
    server.lease = lease(0)
    final = server.wait_for_final()
    assert (final["reason"], final["exitCode"]) == ("DeadMan", 130)
    assert "the trainer ended with signal SIGKILL" in final["message"]
    assert not any(is_alive(pid) for pid in server.steps)


def test_run_that_was_done_is_done(start, output):
    server, _pod = start(job("", output), lease=lease(600))
    assert server.wait_for_final()["outcome"] == "Succeeded"
    server.lease = lease(0)
    # The hold would be a minute.
    server.wait_for(lambda: server.deletes == 1)
    assert stored(output)["final"]["outcome"] == "Succeeded"


def test_storage_that_hangs_does_not_keep_the_pod(start, output):
    output.mkdir()
    # Nobody reads from it: whoever opens it to write waits for ever.
    os.mkfifo(output / ".final.json.partial")
    config = job(HANGS, output, agent={**QUICK, "stopGraceSeconds": 0.5})
    server, _pod = start(config, env={"TRAININGJOB_DEAD_MAN_SECONDS": "1"})
    server.wait_for(lambda: server.deletes == 1)
    assert server.of_type("final") == []


def test_end_before_the_training_begins(start, output):
    server, _pod = start(job(HANGS, output), lease=lease(0), pod_answers_after=2)
    final = server.wait_for_final()
    assert (final["reason"], final["exitCode"]) == ("DeadMan", 130)
    assert final["message"] == "The operator was silent for too long before the training began."
    assert server.steps == []


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"remainingSeconds": 5, "endsInSeconds": None}, Lease(5, None)),
        ({"remainingSeconds": 0, "endsInSeconds": 0.5}, Lease(0, 0.5)),
        ({"remainingSeconds": -1, "endsInSeconds": -1}, Lease(-1, -1)),
        ({"remainingSeconds": 5, "endsInSeconds": 6, "more": 1}, Lease(5, 6)),
        (None, None),
        ([], None),
        ("600", None),
        ({}, None),
        ({"endsInSeconds": 5}, None),
        ({"remainingSeconds": None, "endsInSeconds": 5}, None),
        ({"remainingSeconds": "5", "endsInSeconds": None}, None),
        ({"remainingSeconds": True, "endsInSeconds": None}, None),
        ({"remainingSeconds": math.nan, "endsInSeconds": None}, None),
        ({"remainingSeconds": math.inf, "endsInSeconds": None}, None),
        ({"remainingSeconds": 5, "endsInSeconds": "soon"}, None),
    ],
)
def test_lease_of_an_answer(value, wanted):
    assert parse_lease(value) == wanted

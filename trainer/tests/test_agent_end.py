"""How a run ends before its trainer does: a stop, the pod's termination, a newer pod, an operator that is gone."""

import contextlib
import itertools
import json

from tests.operatorserver import STOP
from tests.pod import DEAF, HANGS, QUICK, REPORTS, both_ways, check_reports, custom, is_alive
from tests.waiting import wait_until


@both_ways
def test_stop_command_lets_the_trainer_end_in_order(start):
    server, pod = start(custom(HANGS))
    server.wait_for(lambda: any(event["type"] == "point" for event in server.ledger.events))
    server.commands = [STOP]
    final = server.wait_for_final()
    assert (final["outcome"], final["exitCode"], final["reason"]) == ("Stopped", 130, "Stopped")
    assert final["message"] == "The trainer stopped as asked."
    assert pod.end() == 130
    assert server.steps == [1, 2]


def test_trainer_that_does_not_stop_is_killed_with_all_it_started(start):
    server, _pod = start(custom(DEAF, agent={**QUICK, "stopGraceSeconds": 0.5}))
    server.wait_for(lambda: len(server.steps) == 2)
    pids = server.steps
    assert all(is_alive(pid) for pid in pids)
    server.commands = [STOP]
    final = server.wait_for_final()
    assert (final["outcome"], final["exitCode"]) == ("Stopped", 130)
    assert "was asked to stop and ended with signal SIGKILL" in final["message"]
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_disk_that_takes_nothing_more_is_told_and_stops_no_report(start):
    server, pod = start(custom(HANGS))
    server.wait_for(lambda: server.steps == [1])
    (spool,) = pod.disk.glob(".trainingjob/*/spool")
    # The agent may make the folder anew while it still notes the last acknowledgement.
    for number in itertools.count():
        if spool.is_dir():
            spool.rename(spool.with_name(f"away-{number}"))
        with contextlib.suppress(IsADirectoryError):
            spool.touch()
        if spool.is_file():
            break
    server.commands = [STOP]
    assert server.wait_for_final()["outcome"] == "Stopped"
    assert server.steps == [1, 2]
    (alert,) = server.of_type("alert")
    assert alert["name"] == "SpoolNotOnDisk"
    assert "raise spec.compute.containerDiskGB" in alert["message"]


def test_stop_before_the_training_begins_starts_nothing(start):
    program = "from trainingjob import report; report(1, {})"
    server, pod = start(custom(program), commands=[STOP], pod_answers_after=2)
    final = server.wait_for_final()
    assert (final["outcome"], final["exitCode"]) == ("Stopped", 130)
    assert final["message"] == "The stop came before the training began."
    assert pod.end() == 130
    assert server.steps == []


@both_ways
def test_termination_ends_the_trainer_and_is_reported(start):
    server, pod = start(custom(HANGS))
    server.wait_for(lambda: server.steps == [1])
    assert pod.end() == 143
    final = server.wait_for_final()
    assert (final["outcome"], final["reason"]) == ("Stopped", "Preempted")
    assert server.steps == [1, 2]
    assert server.deletes == 0


@both_ways
def test_superseded_pod_kills_its_trainer_and_ends_itself(start):
    server, _pod = start(custom(DEAF))
    server.wait_for(lambda: len(server.steps) == 2)
    pids = server.steps
    server.always = 410
    server.wait_for(lambda: server.deletes == 1)
    assert not any(is_alive(pid) for pid in pids)
    assert server.of_type("final") == []
    reports = len(server.requests)
    with server.changed:
        assert not server.changed.wait_for(lambda: len(server.requests) > reports, 1)


@both_ways
def test_superseded_before_it_has_a_configuration(start):
    server, pod = start(custom(REPORTS), config_faults=[410])
    server.wait_for(lambda: server.deletes == 1)
    assert server.requests == []
    pod.end()


@both_ways
def test_pod_ends_itself_when_nobody_ends_it_after_the_final_report(start):
    server, pod = start(custom(REPORTS, agent={**QUICK, "holdSeconds": 0.5}))
    server.wait_for(lambda: server.deletes == 1)
    assert len(server.of_type("final")) == 1
    assert pod.process.poll() is None
    # Signs of life go on until the pod is really gone.
    seen = len(server.signs_of_life)
    server.wait_for(lambda: len(server.signs_of_life) > seen)
    assert pod.end() == 0


@both_ways
def test_pod_ends_itself_when_nobody_takes_the_final_report(start, tmp_path):
    storage = {"checkpoints": None, "output": (tmp_path / "out").as_uri()}
    server, pod = start(custom(REPORTS, agent={**QUICK, "holdSeconds": 1}, storage=storage), always=503)
    server.wait_for(lambda: server.deletes == 1)
    assert server.events == []
    stored = json.loads((tmp_path / "out" / "final.json").read_text())
    assert stored["final"]["outcome"] == "Succeeded"
    # It is still sent while the pod is there.
    server.always = 0
    server.wait_for_final()
    check_reports(server)
    pod.end()


def test_end_of_the_pod_is_asked_for_again_until_it_is_accepted(start):
    server, _pod = start(custom(REPORTS, agent={**QUICK, "holdSeconds": 0}), delete_status=500)
    server.wait_for(lambda: server.deletes == 2)


def test_key_that_cannot_end_the_pod_is_told_at_once(start):
    server, _pod = start(custom(REPORTS), pod_status=403)
    assert server.wait_for_final()["outcome"] == "Succeeded"
    (alert,) = server.of_type("alert")
    assert (alert["name"], alert["severity"]) == ("PodKeyRefused", "Warning")
    assert "Runpod answered 403" in alert["message"]

"""A container that starts again, or a pod that follows another, on a disk where a run has ended."""

import subprocess

import pytest

from tests.pod import JOB, REPORTS, UID, both_ways, check_reports, custom
from tests.waiting import wait_until

COUNTS = """
    import pathlib
    from trainingjob import report
    file = pathlib.Path({folder!r}) / "trainings"
    file.write_text(file.read_text() + "x" if file.exists() else "x")
    report(1, {{"train/loss": 1.0}})
    report(1, {{"eval/loss": 0.5}}, evaluation=True)
    raise SystemExit({code})
"""


def restart(pod, *, wiped):
    """What the platform does with a container that ended: the same again, as a rule on an empty disk."""
    pod.kill()
    if wiped:
        subprocess.run(["rm", "-r", str(pod.disk / ".trainingjob")], check=True)
    pod.start()


@pytest.mark.parametrize("wiped", [True, False], ids=["empty disk", "same disk"])
@both_ways
@pytest.mark.parametrize("code", [0, 9])
def test_restarted_container_reports_again_instead_of_training_again(start, tmp_path, wiped, code):
    storage = {"checkpoints": None, "output": (tmp_path / "out").as_uri()}
    server, pod = start(custom(COUNTS.format(folder=str(tmp_path), code=code), storage=storage))
    server.wait_for_final()
    restart(pod, wiped=wiped)
    seen = len(server.signs_of_life)
    server.wait_for(lambda: len(server.signs_of_life) > seen + 2)
    assert pod.end() == code
    assert (tmp_path / "trainings").read_text() == "x"
    # What was on its way when the end was stored is known to the operator by its sequence: nothing is doubled.
    kinds = [event["type"] for event in server.events]
    assert kinds == ["started", "point", "evaluation", "final", "stage"]


def test_report_that_was_lost_with_its_pod_is_made_by_the_next_attempt(start, tmp_path):
    storage = {"checkpoints": None, "output": (tmp_path / "out").as_uri()}
    config = custom(COUNTS.format(folder=str(tmp_path), code=0), storage=storage)
    server, pod = start(config, always=503)
    wait_until((tmp_path / "out" / "final.json").exists)
    pod.kill()
    server, _pod = start({**config, "job": {**JOB, "attempt": 2}}, env={"TRAININGJOB_ATTEMPT": "2"})
    assert server.wait_for_final()["outcome"] == "Succeeded"
    assert server.steps == [1]
    assert len(server.of_type("evaluation")) == 1
    assert (tmp_path / "trainings").read_text() == "x"


@pytest.mark.parametrize(
    "change",
    [{"uid": UID.replace("1", "2")}, {"run": 2}, {"specHash": "other"}, {"attempt": 2}],
    ids=["another job", "another run", "another spec", "next attempt after a failure"],
)
def test_end_of_something_else_is_no_end_of_this(start, tmp_path, change):
    storage = {"checkpoints": None, "output": (tmp_path / "out").as_uri()}
    config = custom(COUNTS.format(folder=str(tmp_path), code=9), storage=storage)
    server, pod = start(config)
    server.wait_for_final()
    pod.kill()
    server, _pod = start({**config, "job": {**JOB, **change}})
    server.wait_for_final()
    assert (tmp_path / "trainings").read_text() == "xx"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"final": 1'])
def test_final_report_that_cannot_be_read_is_ignored(start, tmp_path, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "final.json").write_text(content)
    storage = {"checkpoints": None, "output": (tmp_path / "out").as_uri()}
    server, _pod = start(custom(REPORTS, storage=storage))
    assert server.wait_for_final()["outcome"] == "Succeeded"
    check_reports(server)

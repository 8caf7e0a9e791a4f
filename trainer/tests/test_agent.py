"""The agent as the pod runs it: a real process that talks to a real server, with real trainers as its children."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.demojob import demo_config, with_parameters
from tests.operatorserver import POD_ID
from tests.pod import DEAF, HANGS, JOB, QUICK, UID, custom, is_alive
from tests.waiting import PATIENCE_SECONDS, wait_until
from trainingjob.storage.manifest import verify

REPORTS = """
    from trainingjob import report
    for step in range(1, 6):
        report(step, {"train/loss": 1 / step}, total_steps=5)
    report(5, {"eval/loss": 0.5}, evaluation=True)
    print("done")
"""


def check_reports(server):
    """All of REPORTS arrived once and in order, between the beginning and the end."""
    kinds = [event["type"] for event in server.events if event["type"] not in ("log", "totals")]
    assert kinds == ["started", "point", "point", "point", "point", "point", "evaluation", "final", "stage"]
    assert server.steps == [1, 2, 3, 4, 5]
    (evaluation,) = server.of_type("evaluation")
    assert (evaluation["evalLoss"], evaluation["trainLoss"], evaluation["trainLossStep"]) == (0.5, 0.2, 5)


def test_trainer_that_succeeds(start):
    server, pod = start(custom(REPORTS))
    final = server.wait_for_final()
    assert (final["outcome"], final["exitCode"], final["reason"]) == ("Succeeded", 0, "Succeeded")
    assert final["logTail"] == ["done"]
    assert pod.end() == 0
    check_reports(server)
    assert server.of_type("log") == [{"type": "log", "lines": ["done"]}]
    # The operator ends the pod; the agent has no need to.
    assert server.deletes == 0
    assert {body["podID"] for body in server.requests} == {POD_ID}


def test_signs_of_life_go_on_through_training_and_holding(start):
    server, _pod = start(
        custom("import time; from trainingjob import report; report(7, {'train/loss': 1.0}); time.sleep(600)")
    )
    server.wait_for(lambda: sum(body.get("step") == 7 for body in server.signs_of_life) >= 3)


@pytest.mark.parametrize(
    "faults",
    [
        [503, 503],
        [429],
        ["lost before"],
        ["lost after"],
        ["lost after", "lost after"],
        [500, "lost after", 502],
        ["swallowed"],
        [409],
        [302],
    ],
    ids=str,
)
def test_every_event_arrives_once_and_in_order(start, faults):
    server, pod = start(custom(REPORTS), faults=faults)
    server.wait_for_final()
    pod.end()
    check_reports(server)
    assert (server.faults, server.redirected) == ([], 0)


def test_configuration_is_asked_for_until_it_is_there(start):
    server, _pod = start(custom(REPORTS), config_faults=[503, 401, 500])
    assert server.wait_for_final()["outcome"] == "Succeeded"


def test_token_is_renewed(start):
    server, _pod = start(custom(REPORTS), token="a-newer-one")
    server.wait_for_final()
    assert server.bad_tokens == 0


@pytest.mark.parametrize(
    ("program", "code", "reason", "message"),
    [
        ("import sys; print('no rows'); sys.exit(3)", 3, "DataInvalid", "exit code 3; its last words: no rows"),
        ("import sys; sys.exit(9)", 9, "TrainerFailed", "exit code 9 and said nothing."),
        (
            "import os; os.kill(os.getpid(), 9)",
            -9,
            "TrainerFailed",
            "signal SIGKILL, as when the pod's memory runs out",
        ),
        ("import os; os.kill(os.getpid(), 11)", -11, "TrainerFailed", "signal SIGSEGV"),
        ("import os; os.kill(os.getpid(), 40)", -40, "TrainerFailed", "signal 40"),
        ("1 / 0", 1, "TrainerFailed", "ZeroDivisionError: division by zero"),
    ],
)
def test_trainer_that_fails(start, program, code, reason, message):
    server, pod = start(custom(program))
    final = server.wait_for_final()
    assert (final["outcome"], final["exitCode"], final["reason"]) == ("Failed", code, reason)
    assert message in final["message"]
    assert pod.end() == code % 256


def test_command_that_is_not_in_the_image(start):
    config = custom("")
    config["trainer"]["custom"]["command"] = ["no-such-program", "--fast"]
    server, _pod = start(config)
    final = server.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (2, "ConfigurationInvalid")
    assert final["message"].startswith("cannot start no-such-program --fast: No such file or directory")


def test_command_with_a_null_byte(start):
    config = custom("")
    config["trainer"]["custom"]["command"] = ["a\0b"]
    server, _pod = start(config)
    assert server.wait_for_final()["exitCode"] == 2


def test_trainer_runs_where_the_image_starts(start, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "mytrainer.py").write_text("print('the trainer of the image')")
    config = custom("")
    config["trainer"]["custom"]["command"] = [sys.executable, "mytrainer.py"]
    server, _pod = start(config)
    final = server.wait_for_final()
    assert (final["outcome"], final["logTail"]) == ("Succeeded", ["the trainer of the image"])


def test_trainer_gets_the_jobs_environment_and_none_of_the_agents_keys(start):
    program = """
        import json, os
        print(json.dumps({name: os.environ.get(name) for name in
            ("COLOUR", "TRAININGJOB_TOKEN", "RUNPOD_API_KEY", "TRAININGJOB_OUTPUT_URI", "TRAININGJOB_UID")}))
    """
    output = {"checkpoints": None, "output": "file:///out"}
    server, _pod = start(custom(program, env={"COLOUR": "red"}, storage=output), env={"TRAININGJOB_FILE_ROOT": "/tmp"})
    (line,) = server.wait_for_final()["logTail"]
    assert json.loads(line) == {
        "COLOUR": "red",
        "TRAININGJOB_TOKEN": None,
        "RUNPOD_API_KEY": None,
        "TRAININGJOB_OUTPUT_URI": "file:///out",
        "TRAININGJOB_UID": UID,
    }


def writes(program):
    """A trainer that writes lines of events itself."""
    return textwrap.dedent("""
        import json, os
        def write(line):
            with open(os.environ["TRAININGJOB_EVENTS"], "a") as file:
                file.write(line + "\\n")
        def point(step):
            write(json.dumps({"type": "point", "step": step, "metrics": {}}))
    """) + textwrap.dedent(program)


def test_garbage_and_forged_events_become_alerts_and_the_rest_goes_on(start):
    program = """
        point(1)
        write("no json at all")
        write('{"type": "point", "metrics": {}}')
        write('{"type": "point", "step": "x", "metrics": {}}')
        write('{"type": "final", "outcome": "Succeeded", "exitCode": 0, "reason": "Fake", "message": ""}')
        write('{"type": "started", "trainerVersion": "0"}')
        write('{"type": "stage", "stage": "Resting"}')
        write('{"type": "point", "step": 2, "metrics": {"train/loss": NaN}}')
        write("[" * 300000)
        write("")
        point(3)
        raise SystemExit(9)
    """
    server, pod = start(custom(writes(program)))
    final = server.wait_for_final()
    pod.end()
    assert (final["outcome"], final["exitCode"]) == ("Failed", 9)
    assert len(server.of_type("final")) == len(server.of_type("started")) == 1
    assert server.steps == [1, 2, 3]
    lossless = server.of_type("point")[1]
    assert (lossless["metrics"], lossless["nonFinite"]) == ({"train/loss": None}, ["train/loss"])
    messages = [alert["message"] for alert in server.of_type("alert")]
    wanted = [
        "what is no event: no json",
        "point.step: is missing",
        "point.step: must be",
        'of type "final"',
        'of type "started"',
        "stage.stage: must be",
        "what is no event: [[[",
        "what is no event: [[[",
    ]
    assert len(messages) == len(wanted)
    for message, words in zip(messages, wanted, strict=True):
        assert words in message


def test_flood_of_garbage_is_counted_instead_of_sent(start):
    server, _pod = start(custom(writes("for _ in range(500): write('x')\npoint(1)")))
    server.wait_for_final()
    alerts = server.of_type("alert")
    assert len(alerts) == 21
    assert alerts[-1]["message"] == "480 more lines of the trainer's events were not taken"
    assert server.steps == [1]


def test_result_and_failure_of_a_trainer_go_into_the_final_report(start):
    sha = "a" * 64
    program = f"""
        write('{{"type": "result", "bestStep": 0, "output": {{"uri": "file:///o", "manifestSHA256": "{sha}"}}}}')
        write('{{"type": "failure", "message": "this is why"}}')
        import sys; sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    """
    server, pod = start(custom(writes(program)))
    final = server.wait_for_final()
    assert (final["bestStep"], final["output"]) == (0, {"uri": "file:///o", "manifestSHA256": sha})
    pod.end()
    config = custom(writes(program))
    config["trainer"]["custom"]["command"].append("5")
    server, _pod = start(config)
    final = server.wait_for_final()
    assert (final["message"], final["reason"], "output" in final) == ("this is why", "Diverged", False)


def test_refused_event_is_set_aside_alone(start):
    program = "for step in range(1, 41): point(step)"
    server, pod = start(custom(writes(program)), refuses=lambda event: event.get("step") in (7, 8, 30))
    assert server.wait_for_final()["outcome"] == "Succeeded"
    server.wait_for(lambda: sum(event.get("name") == "BatchRefused" for event in server.ledger.events) == 3)
    assert server.steps == [step for step in range(1, 41) if step not in (7, 8, 30)]
    assert sorted(batch[0]["step"] for batch in pod.refused) == [7, 8, 30]
    assert all(len(batch) == 1 for batch in pod.refused)
    assert all("was refused and kept in" in alert["message"] for alert in server.of_type("alert"))


def test_refused_alerts_do_not_go_on_for_ever(start):
    server, pod = start(custom(REPORTS), refuses=lambda event: event["type"] in ("alert", "evaluation"))
    server.wait_for_final()
    wait_until(lambda: len(pod.refused) == 2)
    pod.end()
    assert [batch[0]["type"] for batch in pod.refused] == ["evaluation", "alert"]


def test_final_report_that_is_refused_arrives_without_its_extras(start):
    program = 'write(\'{"type": "result", "bestStep": 3}\')'
    server, _pod = start(custom(writes(program)), refuses=lambda event: "bestStep" in event)
    final = server.wait_for_final()
    assert set(final) == {"type", "outcome", "exitCode", "reason", "message"}
    assert final["outcome"] == "Succeeded"


STOP = {"id": "1", "type": "stop", "reason": "budget"}


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


def test_termination_ends_the_trainer_and_is_reported(start):
    server, pod = start(custom(HANGS))
    server.wait_for(lambda: server.steps == [1])
    assert pod.end() == 143
    final = server.wait_for_final()
    assert (final["outcome"], final["reason"]) == ("Stopped", "Preempted")
    assert server.steps == [1, 2]
    assert server.deletes == 0


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


def test_superseded_before_it_has_a_configuration(start):
    server, pod = start(custom(REPORTS), config_faults=[410])
    server.wait_for(lambda: server.deletes == 1)
    assert server.requests == []
    pod.end()


def test_pod_ends_itself_when_nobody_ends_it_after_the_final_report(start):
    server, pod = start(custom(REPORTS, agent={**QUICK, "holdSeconds": 0.5}))
    server.wait_for(lambda: server.deletes == 1)
    assert len(server.of_type("final")) == 1
    assert pod.process.poll() is None
    # Signs of life go on until the pod is really gone.
    seen = len(server.signs_of_life)
    server.wait_for(lambda: len(server.signs_of_life) > seen)
    assert pod.end() == 0


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


def test_storage_that_cannot_be_written_fails_before_the_training(start, tmp_path):
    (tmp_path / "taken").touch()
    server, _pod = start(custom(REPORTS, storage={"checkpoints": None, "output": (tmp_path / "taken").as_uri()}))
    final = server.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (7, "PreflightFailed")
    assert "mount the network volume at the URI's path" in final["message"]
    assert server.steps == []
    server.wait_for(lambda: any(event.get("name") == "FinalNotStored" for event in server.ledger.events))


def test_storage_of_another_kind_is_said_and_stops_nothing_else(start):
    server, pod = start(custom(REPORTS, storage={"checkpoints": None, "output": "gs://bucket/model"}))
    final = server.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (2, "ConfigurationInvalid")
    assert "gs://bucket/model: only file:/// and s3:// addresses can be used here" in final["message"]
    assert pod.process.poll() is None


def test_gpus_that_are_not_there(start):
    server, _pod = start(custom(REPORTS), env={"TRAININGJOB_GPU_COUNT": "2", "PATH": "/nonexistent"})
    final = server.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (7, "PreflightFailed")
    assert "2 GPUs were rented, but the image has no nvidia-smi" in final["message"]


def fake_nvidia_smi(folder, lines):
    folder.mkdir()
    tool = folder / "nvidia-smi"
    tool.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    tool.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(("found", "outcome"), [(2, "Succeeded"), (1, "Failed"), (3, "Failed")])
def test_gpus_are_counted(start, tmp_path, found, outcome):
    path = fake_nvidia_smi(tmp_path / "bin", [f"GPU {index}: A" for index in range(found)])
    server, _pod = start(custom(REPORTS), env={"TRAININGJOB_GPU_COUNT": "2", "PATH": path})
    final = server.wait_for_final()
    assert final["outcome"] == outcome
    assert outcome == "Succeeded" or f"2 GPUs were rented and {found} are here" in final["message"]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"trainer": {"fineTune": {}}}, "trainer.fineTune: is not known"),
        ({"protocolVersion": 9, "trainer": {}, "agent": {"heartbeatSeconds": "x"}}, "protocolVersion: is 9"),
        ({"agent": {"holdSeconds": None, "heartbeatSeconds": "soon"}, "trainer": {}}, "trainer: write exactly one"),
        ({}, "trainer: is missing"),
    ],
)
def test_configuration_that_this_trainer_does_not_understand(start, config, sentence):
    server, pod = start(config)
    final = server.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (2, "ConfigurationInvalid")
    assert sentence in final["message"]
    assert pod.end() == 2


def test_agent_without_an_identity_says_what_is_missing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "trainingjob", "agent"],
        env={"PATH": os.environ["PATH"], "TRAININGJOB_UID": UID},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("not set: TRAININGJOB_NAMESPACE, TRAININGJOB_NAME, TRAININGJOB_ATTEMPT, ")


def test_output_of_the_trainer_is_cut_into_lines_that_the_operator_takes(start):
    program = """
        import sys
        sys.stdout.write("a" * 2500 + "\\n")
        sys.stdout.write("10%\\r50%\\r100%\\n")
        sys.stdout.buffer.write(b"\\xff\\n"); sys.stdout.flush()
        print("b" * 1000)
        print("last, without an end", end="")
    """
    server, _pod = start(custom(program))
    tail = server.wait_for_final()["logTail"]
    assert [len(line) for line in tail[:3]] == [1001, 1001, 498]
    assert tail[3:] == ["10%", "50%", "100%", "\ufffd", "b" * 1000, "last, without an end"]


def test_log_lines_beyond_what_people_read_stay_in_the_pod(start):
    server, pod = start(custom("for line in range(5000): print('line', line)"))
    final = server.wait_for_final()
    assert final["logTail"] == [f"line {line}" for line in range(4950, 5000)]
    assert 0 < len(server.of_type("log")) < 1000
    assert pod.log.read_text().count("line ") >= 5000


def test_trainer_that_closes_its_output_goes_on_reporting(start):
    program = """
        import os
        from trainingjob import report
        os.close(1); os.close(2)
        for step in range(1, 4): report(step, {})
    """
    server, _pod = start(custom(program))
    assert server.wait_for_final()["outcome"] == "Succeeded"
    assert server.steps == [1, 2, 3]


def test_processes_that_a_trainer_leaves_behind_end_with_it(start):
    program = """
        import subprocess, sys
        from trainingjob import report
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        report(other.pid, {})
    """
    server, _pod = start(custom(program))
    assert server.wait_for_final()["outcome"] == "Succeeded"
    (pid,) = server.steps
    wait_until(lambda: not is_alive(pid))


def test_process_that_got_away_cannot_keep_the_run_from_ending(start, tmp_path):
    # It left the group, holds the pipe open and writes events without a pause.
    escaped = """
        import os, sys, time
        with open(os.environ["TRAININGJOB_EVENTS"], "ab", buffering=0) as file:
            open(sys.argv[1], "w").write(str(os.getpid()))
            end = time.monotonic() + 120
            while time.monotonic() < end:
                file.write(b'{"type": "log", "lines": ["x"]}\\n' * 10)
                time.sleep(0.001)
    """
    program = f"""
        import os, subprocess, sys, time
        path = {str(tmp_path / "pid")!r}
        subprocess.Popen([sys.executable, "-c", {textwrap.dedent(escaped)!r}, path], start_new_session=True)
        while not os.path.exists(path): time.sleep(0.02)
    """
    server, _pod = start(custom(program))
    try:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        wait_until(lambda: any(body["stage"] == "Holding" for body in list(server.requests)))
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert server.wait_for_final()["outcome"] == "Succeeded"


def test_tabular_job_from_configuration_to_verified_model(start, tmp_path):
    (tmp_path / "volume").mkdir()
    config = with_parameters(demo_config(tmp_path / "volume"), nEstimators=40)
    server, pod = start({**config, "job": JOB, "agent": QUICK})
    final = server.wait_for_final()
    assert (final["outcome"], final["reason"]) == ("Succeeded", "Succeeded")
    assert final["output"]["uri"] == config["storage"]["output"]
    assert final["metrics"]["eval/accuracy"] > 0.6
    verify(final["output"]["uri"])
    assert [event["step"] for event in server.of_type("evaluation")] == [20, 40]
    assert server.of_type("alert") == []
    assert pod.end() == 0


def test_tabular_job_with_bad_data(start, tmp_path):
    (tmp_path / "volume").mkdir()
    config = demo_config(tmp_path / "volume")
    (tmp_path / "volume" / "diabetes.csv").write_text("a,above_median\n1,sick\n")
    server, _pod = start({**config, "job": JOB, "agent": QUICK})
    final = server.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (3, "DataInvalid")
    assert final["message"].endswith(
        'line 2, target column "above_median" holds "sick"; write 0 or 1, or false or true'
    )


KEEPS = """
    import os, sys, time
    from trainingjob import checkpoint_requested, report, should_stop
    step = 0
    while not should_stop():
        if checkpoint_requested():
            step += 1
            report(step, {})
        time.sleep(0.01)
    sys.exit(130)
"""


def checkpoint(number):
    return {"id": f"checkpoint-{number}", "type": "checkpoint", "reason": "suspend"}


def test_checkpoint_command_reaches_the_trainer_once_however_often_it_is_repeated(start):
    server, _pod = start(custom(KEEPS))
    server.wait_for(lambda: server.requests)
    server.commands = [checkpoint(1)]
    server.wait_for(lambda: len(server.steps) == 1)
    seen = len(server.signs_of_life)
    server.wait_for(lambda: len(server.signs_of_life) > seen + 3)
    server.commands = [checkpoint(1), checkpoint(2)]
    server.wait_for(lambda: len(server.steps) == 2)
    seen = len(server.signs_of_life)
    server.wait_for(lambda: len(server.signs_of_life) > seen + 3)
    server.commands = [STOP]
    assert server.wait_for_final()["reason"] == "Stopped"
    assert server.steps == [1, 2]


def test_checkpoint_command_that_came_before_the_trainer_waits_for_it(start):
    server, _pod = start(custom(KEEPS), commands=[checkpoint(1)], pod_answers_after=2)
    server.wait_for(lambda: server.steps == [1])


def test_checkpoint_command_without_an_id_is_no_command(start):
    server, _pod = start(custom(KEEPS), commands=[{"type": "checkpoint"}, {"type": "checkpoint", "id": 7}])
    server.wait_for(lambda: len(server.signs_of_life) > 3)
    server.commands = [STOP]
    server.wait_for_final()
    assert server.steps == []


@pytest.mark.parametrize(("status", "armed"), [(200, "Armed"), (403, "Unarmed"), (500, "Unarmed")])
def test_beginning_says_whether_the_pod_can_end_itself(start, status, armed):
    server, _pod = start(custom(REPORTS), pod_status=status)
    server.wait_for_final()
    assert [event["deadMan"] for event in server.of_type("started")] == [armed]


@pytest.mark.parametrize(
    "resume", [None, {"checkpoints": []}, {"checkpoints": [{"uri": "file:///c", "step": 0, "manifestSHA256": "0"}]}]
)
def test_trainer_gets_what_it_can_go_on_from(start, resume):
    server, _pod = start(custom("import os; print(os.environ['TRAININGJOB_RESUME'])", resume=resume))
    (line,) = server.wait_for_final()["logTail"]
    assert (None if line == "" else json.loads(line)) == resume

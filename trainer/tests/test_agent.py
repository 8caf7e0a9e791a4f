"""The agent as the pod runs it, a real process that talks to a real server, with real trainers as its children: what it reports."""

import json
import sys
import textwrap

import pytest

from tests.demojob import demo_config, with_parameters
from tests.operatorserver import POD_ID
from tests.pod import JOB, QUICK, REPORTS, UID, both_ways, check_reports, custom
from tests.waiting import wait_until
from trainingjob.storage.manifest import verify


@both_ways
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


OFTEN = """
    import time
    from trainingjob import report
    begun, step = time.monotonic(), 0
    while time.monotonic() < begun + 2.5:
        step += 1
        report(step, {"train/loss": 1.0}, evaluation=step % 10 == 0)
        time.sleep(0.005)
"""


def test_trainer_that_reports_often_costs_a_batch_a_second(start):
    server, _pod = start(custom(OFTEN, agent={**QUICK, "heartbeatSeconds": 60}))
    server.wait_for_final()
    reports = [event["step"] for event in server.events if event["type"] in ("point", "evaluation")]
    assert len(reports) > 100
    assert reports == list(range(1, len(reports) + 1))
    # One when it starts, one in each of two to three seconds, and its last words.
    assert len([body for body in server.requests if body["events"]]) <= 6


@both_ways
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


@both_ways
def test_configuration_is_asked_for_until_it_is_there(start):
    server, _pod = start(custom(REPORTS), config_faults=[503, 401, 500])
    assert server.wait_for_final()["outcome"] == "Succeeded"


@both_ways
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


@both_ways
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
    (tmp_path / "volume" / "diabetes.csv").write_text("a,above_median\n1,0\n2,sick\n")
    server, _pod = start({**config, "job": JOB, "agent": QUICK})
    final = server.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (3, "DataInvalid")
    assert 'line 3, target column "above_median" holds "sick", which is no number' in final["message"]


@pytest.mark.parametrize(("status", "armed"), [(200, "Armed"), (403, "Unarmed"), (500, "Unarmed")])
def test_beginning_says_whether_the_pod_can_end_itself(start, status, armed):
    server, _pod = start(custom(REPORTS), pod_status=status)
    server.wait_for_final()
    assert [event["deadMan"] for event in server.of_type("started")] == [armed]

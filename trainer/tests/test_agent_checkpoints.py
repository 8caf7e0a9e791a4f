"""What the operator asks of the trainer and what the trainer can go on from: checkpoint commands, --resume."""

import json

import pytest

from tests.operatorserver import STOP
from tests.pod import both_ways, custom

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


@both_ways
def test_checkpoint_command_that_came_before_the_trainer_waits_for_it(start):
    server, _pod = start(custom(KEEPS), commands=[checkpoint(1)], pod_answers_after=2)
    server.wait_for(lambda: server.steps == [1])


FOLLOWS = """
    import sys, time
    from trainingjob import report, should_stop, wanted_learning_rate
    told, step = None, 0
    while not should_stop():
        if wanted_learning_rate() != told:
            told, step = wanted_learning_rate(), step + 1
            report(step, {"rate": told})
        time.sleep(0.01)
    sys.exit(130)
"""


def learning_rate(number, value):
    return {"id": f"rate-{number}", "type": "learningRate", "reason": "plateau", "learningRate": value}


def points(server):
    return [event["metrics"]["rate"] for event in server.events if event["type"] == "point"]


@both_ways
def test_learning_rate_reaches_the_trainer_and_the_newest_counts(start):
    server, _pod = start(custom(FOLLOWS), commands=[learning_rate(1, "1e-4")])
    server.wait_for(lambda: points(server) == [1e-4])
    # What was obeyed is repeated beside what is new.
    server.commands = [learning_rate(1, "1e-4"), learning_rate(2, "2.5e-5")]
    server.wait_for(lambda: len(points(server)) == 2)
    seen = len(server.signs_of_life)
    server.wait_for(lambda: len(server.signs_of_life) > seen + 2)
    server.commands = [STOP]
    server.wait_for_final()
    assert points(server) == [1e-4, 2.5e-5]


def test_learning_rate_that_is_none_is_answered_in_words(start):
    wrong = [
        learning_rate(1, "0"),
        learning_rate(2, "fast"),
        learning_rate(3, True),
        {"type": "learningRate", "id": "rate-4"},
    ]
    server, _pod = start(custom(FOLLOWS), commands=wrong)
    server.wait_for(lambda: sum(event["type"] == "alert" for event in server.events) == 4)
    server.commands = [STOP]
    server.wait_for_final()
    alerts = [event for event in server.events if event["type"] == "alert"]
    assert {alert["name"] for alert in alerts} == {"LearningRateRefused"}
    assert alerts[1]["message"] == "command rate-2: learningRate must be a number above 0 and at most 10, not 'fast'"
    assert points(server) == []


def test_checkpoint_command_without_an_id_is_no_command(start):
    server, _pod = start(custom(KEEPS), commands=[{"type": "checkpoint"}, {"type": "checkpoint", "id": 7}])
    server.wait_for(lambda: len(server.signs_of_life) > 3)
    server.commands = [STOP]
    server.wait_for_final()
    assert server.steps == []


@pytest.mark.parametrize(
    "resume", [None, {"checkpoints": []}, {"checkpoints": [{"uri": "file:///c", "step": 0, "manifestSHA256": "0"}]}]
)
def test_trainer_gets_what_it_can_go_on_from(start, resume):
    server, _pod = start(custom("import os; print(os.environ['TRAININGJOB_RESUME'])", resume=resume))
    (line,) = server.wait_for_final()["logTail"]
    assert (None if line == "" else json.loads(line)) == resume

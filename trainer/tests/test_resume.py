"""Going on from a checkpoint: whatever interrupted a run, the result is that of a run without a break."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import xgboost as xgb

from tests.demojob import demo_config, of_type, read_events, with_parameters
from tests.finished import Finished, run
from tests.interruption import interrupted, resumed, verified
from tests.pod import JOB, QUICK
from tests.waiting import wait_until
from trainingjob import reporting
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.storage.manifest import verify

ROUNDS = 60
# Chance enters every round, by rows and by columns.
CHANCE = {"nEstimators": ROUNDS, "subsample": "0.5", "colsampleBytree": "0.6"}


def config_in(folder: Path, **members: Any) -> dict[str, Any]:
    config = demo_config(folder, **{"evaluation": {"everySteps": 7}, "checkpoints": {"keepLast": 3}, **members})
    return with_parameters(config, **CHANCE)


def words_of(done: Finished) -> dict[str, Any]:
    (event,) = of_type(done.events, "resumed")
    return event


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run without a break."""
    folder = tmp_path_factory.mktemp("whole")
    return run(folder, config_in(folder))


def model_of(done: Finished, name: str) -> bytes:
    return bytes(xgb.Booster(model_file=str(done.folder / name / "model.json")).save_raw("json"))


def check_same(done: Finished, whole: Finished) -> None:
    """To the last bit: the model of the last round, that of the best step, and every number of the result."""
    assert done.code == ExitCode.SUCCESS
    for name in (f"checkpoints/checkpoint-{ROUNDS}", "output"):
        assert model_of(done, name) == model_of(whole, name)
    assert done.lasting_metrics == whole.lasting_metrics
    assert done.stored_checkpoints == whole.stored_checkpoints
    known = {event["step"]: event["evalLoss"] for event in whole.evaluations}
    assert {event["step"]: event["evalLoss"] for event in done.evaluations}.items() <= known.items()


@pytest.mark.parametrize("at", [1, 7, 8, 22, 50, 57, ROUNDS])
def test_interrupted_run_gives_what_a_whole_one_gives(tmp_path, whole, at):
    config = config_in(tmp_path)
    before = interrupted(tmp_path, config, at)
    done = resumed(before, config)
    reached = (at - 1) // 7 * 7
    assert (words_of(done)["step"], words_of(done)["rejected"]) == (reached, [])
    assert min(event["step"] for event in of_type(done.events, "point")) > reached
    check_same(done, whole)


def test_run_that_is_interrupted_again_and_again(tmp_path, whole):
    config = config_in(tmp_path)
    before = interrupted(tmp_path, config, 10)
    for at in (20, 21, 40):
        offered = {"checkpoints": verified(before.events)}
        before = interrupted(tmp_path, {**config, "resume": offered}, at)
    check_same(resumed(before, config), whole)


def test_events_tell_where_it_goes_on_before_the_first_point(tmp_path):
    config = config_in(tmp_path)
    done = resumed(interrupted(tmp_path, config, 30), config)
    kinds = [event["type"] for event in done.events]
    assert kinds.index("resumed") < kinds.index("point")
    assert words_of(done)["uri"] == f"{config['storage']['checkpoints']}/checkpoint-28"


def test_run_that_begins_says_nothing_of_going_on(whole):
    assert of_type(whole.events, "resumed") == []


def test_request_saves_the_current_round_and_goes_on(tmp_path, whole):
    config = config_in(tmp_path)
    before = interrupted(tmp_path, config, 33, requests=(31,))
    steps = [event["step"] for event in of_type(before.events, "checkpoint") if event["verified"]]
    assert steps == [7, 14, 21, 28, 31]
    state = json.loads((tmp_path / "checkpoints" / "checkpoint-31" / "scorer.json").read_text())
    (last,) = (event for event in before.evaluations if event["step"] == 28)
    assert state["previousEvalLoss"] == last["evalLoss"]
    # Nothing was measured there, so it has no score that could make it stay.
    assert "31" not in state["scores"]
    done = resumed(before, config)
    assert words_of(done)["step"] == 31
    check_same(done, whole)


def test_request_at_an_evaluation_is_answered_by_its_checkpoint(tmp_path):
    before = interrupted(tmp_path, config_in(tmp_path), 16, requests=(14,))
    told = of_type(before.events, "checkpoint")
    assert [(event["step"], event["verified"]) for event in told] == [(7, True), (14, True), (14, True)]
    assert told[1]["manifestSHA256"] == told[2]["manifestSHA256"]


def test_request_is_obeyed_where_the_interval_would_not_save(tmp_path):
    config = config_in(tmp_path, checkpoints={"everySteps": 1000, "keepLast": 9}, evaluation={"everySteps": 5})
    scoring = {"strategy": "SingleMetric", "metric": {"name": "eval/accuracy", "goal": "Minimize"}}
    before = interrupted(tmp_path, {**config, "scoring": scoring}, 22, requests=(20,))
    assert 20 in [event["step"] for event in of_type(before.events, "checkpoint")]


def test_checkpoint_without_a_score_is_kept_for_being_new_only(tmp_path):
    config = config_in(tmp_path, checkpoints={"keepLast": 1, "keepBest": 2})
    before = interrupted(tmp_path, config, 24, requests=(18, 23))
    best = sorted(before.evaluations, key=lambda event: event["evalLoss"])
    assert before.stored_checkpoints[-1] == 23
    assert 18 not in before.stored_checkpoints
    assert len(before.stored_checkpoints) == 3
    assert best[0]["step"] in before.stored_checkpoints


def test_scorer_goes_on_from_the_state_in_the_checkpoint(tmp_path, whole):
    config = config_in(tmp_path)
    done = resumed(interrupted(tmp_path, config, 50), config)
    state = json.loads((tmp_path / "checkpoints" / f"checkpoint-{ROUNDS}" / "scorer.json").read_text())
    wanted = json.loads((whole.folder / "checkpoints" / f"checkpoint-{ROUNDS}" / "scorer.json").read_text())
    for name in ("startedAt", "trainingSeconds"):
        assert state.pop(name) and wanted.pop(name)
    assert state == wanted
    # Evaluations of the first attempt count in the result, though this one did not make them.
    assert len(state["evaluations"]) > len(done.evaluations)


def change_a_byte(folder: Path) -> None:
    content = bytearray((folder / "model.json").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.json").write_bytes(content)


def another_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text((folder / "manifest.json").read_text() + " ")


HARMS = [
    (shutil.rmtree, "cannot be read back"),
    (change_a_byte, "model.json reads back with other content than was written"),
    (lambda folder: (folder / "scorer.json").unlink(), "cannot be read back"),
    (lambda folder: (folder / "manifest.json").unlink(), "cannot be read back"),
    (another_manifest, "manifest.json reads back with other content than was written"),
]


@pytest.mark.parametrize(("harm", "reason"), HARMS, ids=["gone", "changed byte", "no state", "no manifest", "manifest"])
def test_damaged_newest_falls_back_to_the_one_before(tmp_path, whole, harm, reason):
    config = config_in(tmp_path)
    before = interrupted(tmp_path, config, 45)
    harm(tmp_path / "checkpoints" / "checkpoint-42")
    done = resumed(before, config)
    assert words_of(done)["step"] == 35
    (rejected,) = words_of(done)["rejected"]
    assert rejected["uri"] == f"{config['storage']['checkpoints']}/checkpoint-42"
    assert reason in rejected["reason"]
    check_same(done, whole)


def test_checkpoint_that_cannot_be_read_now_is_not_taken_for_a_damaged_one(tmp_path):
    """The run began anew, and its first save removed all that was only out of reach."""
    config = config_in(tmp_path)
    before = interrupted(tmp_path, config, 45)
    newest = tmp_path / "checkpoints" / "checkpoint-42"
    (newest / "model.json").rename(newest / "aside")
    # Opening it fails as on a volume that has trouble, not as a file that is not there.
    (newest / "model.json").symlink_to("model.json")
    with pytest.raises(TrainingError, match="checkpoint-42 cannot be read back") as caught:
        resumed(before, config)
    assert caught.value.code == ExitCode.ARTIFACTS
    (newest / "model.json").unlink()
    (newest / "aside").rename(newest / "model.json")
    assert words_of(resumed(before, config))["step"] == 42


def test_all_damaged_begins_at_the_start(tmp_path, whole):
    config = config_in(tmp_path)
    before = interrupted(tmp_path, config, 30)
    for folder in (tmp_path / "checkpoints").iterdir():
        change_a_byte(folder)
    done = resumed(before, config)
    assert (words_of(done)["step"], words_of(done)["uri"]) == (0, None)
    assert [entry["uri"][-2:] for entry in words_of(done)["rejected"]][:3] == ["28", "21", "14"]
    check_same(done, whole)


def test_data_that_changed_are_not_gone_on_with(tmp_path):
    config = config_in(tmp_path)
    before = interrupted(tmp_path, config, 10)
    data = tmp_path / "diabetes.csv"
    data.write_text("\n".join(data.read_text().splitlines()[:-1]) + "\n")
    done = resumed(before, config)
    assert words_of(done)["step"] == 0
    assert "the data have changed since" in words_of(done)["rejected"][0]["reason"]


def test_checkpoint_of_another_step_is_refused(tmp_path):
    config = config_in(tmp_path)
    before = interrupted(tmp_path, config, 16)
    newest, *rest = verified(before.events)
    done = run(tmp_path, {**config, "resume": {"checkpoints": [{**newest, "step": 15}, *rest]}})
    assert words_of(done)["step"] == 7
    assert "model.json has 14 steps; the run has 60" in words_of(done)["rejected"][0]["reason"]


def test_what_an_attempt_left_behind_is_rotated_with_the_rest(tmp_path, whole):
    config = config_in(tmp_path)
    before = interrupted(tmp_path, config, 45, requests=(44,))
    # Half a checkpoint, and one that nobody heard of: the operator offers what it knows.
    (tmp_path / "checkpoints" / "checkpoint-43").mkdir()
    known = Finished(tmp_path, 1, [event for event in before.events if event.get("step") != 44])
    done = resumed(known, config)
    assert words_of(done)["step"] == 42
    check_same(done, whole)
    removed = [event["step"] for event in of_type(done.events, "checkpoint") if event.get("removed")]
    assert 44 in removed
    assert 43 not in removed


def test_checkpoint_beyond_where_the_run_is_now_does_not_count_as_new(tmp_path):
    config = config_in(tmp_path, checkpoints={"keepLast": 1})
    interrupted(tmp_path, config, 45, requests=(44,))
    # Nothing of it was heard of, so the run begins again.
    again = interrupted(tmp_path, {**config, "resume": {"checkpoints": []}}, 10)
    assert of_type(again.events, "resumed")[-1]["step"] == 0
    # The first checkpoint of this attempt stays, though there was one of a later step.
    assert again.stored_checkpoints == [7]


def test_finished_rounds_without_a_result_need_no_training(tmp_path, whole):
    config = config_in(tmp_path)
    (tmp_path / "output").write_text("a file where the folder should be")
    with pytest.raises(TrainingError):
        run(tmp_path, config)
    (tmp_path / "output").unlink()
    before = Finished(tmp_path, 6, read_events(tmp_path / "events.jsonl"))
    done = resumed(before, config)
    assert (words_of(done)["step"], done.evaluations) == (ROUNDS, [])
    check_same(done, whole)


def test_lost_best_gives_way_to_the_next_best(tmp_path):
    # By accuracy an early step is the best, and a later one is its equal.
    scoring = {"strategy": "SingleMetric", "metric": {"name": "eval/accuracy", "goal": "Maximize"}}
    config = config_in(tmp_path, checkpoints={"keepLast": 1, "keepBest": 2}, scoring=scoring)
    before = interrupted(tmp_path, config, 45)
    first, second, newest = before.stored_checkpoints
    assert newest == 42
    shutil.rmtree(tmp_path / "checkpoints" / f"checkpoint-{first}")
    done = resumed(before, config)
    (alert,) = of_type(done.events, "alert")
    assert alert["name"] == "CheckpointLost"
    assert alert["message"].startswith(f"step {first} cannot be the result, the next best is: ")
    assert done.metrics["best_step"] == second
    (result,) = of_type(done.events, "result")
    assert result["bestStep"] == second
    (evaluation,) = (event for event in before.evaluations if event["step"] == second)
    assert done.metrics["score"] == -evaluation["metrics"]["eval/accuracy"]
    assert xgb.Booster(model_file=str(tmp_path / "output" / "model.json")).num_boosted_rounds() == second


def test_stop_keeps_a_checkpoint_to_go_on_from(tmp_path, whole):
    config = config_in(tmp_path)
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) == 30

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporting, "should_stop", should_stop)
        before = run(tmp_path, config)
    assert before.code == ExitCode.STOPPED
    done = resumed(before, config)
    assert words_of(done)["step"] == 30
    # The evaluation of the stop counts like any other, so the best step may be another; the model goes the same way.
    assert model_of(done, f"checkpoints/checkpoint-{ROUNDS}") == model_of(whole, f"checkpoints/checkpoint-{ROUNDS}")
    assert done.evaluations[-1]["evalLoss"] == whole.evaluations[-1]["evalLoss"]


def test_pod_that_is_lost_in_the_middle_is_followed_by_one_that_goes_on(start, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    # Long enough to be caught in the middle.
    config = with_parameters(config_in(volume), nEstimators=1500)
    server, pod = start({**config, "job": JOB, "agent": QUICK})
    server.wait_for(lambda: len([e for e in server.ledger.events if e["type"] == "checkpoint" and e["verified"]]) >= 4)
    pod.kill()
    offered = {"checkpoints": verified(server.events)}
    second = {**config, "job": {**JOB, "attempt": 2}, "agent": QUICK, "resume": offered}
    server, _pod = start(second, env={"TRAININGJOB_ATTEMPT": "2"})
    server.wait_for(lambda: any(event["type"] == "resumed" for event in server.ledger.events))
    (event,) = server.of_type("resumed")
    assert event["step"] == offered["checkpoints"][0]["step"]
    server.commands = [{"id": "1", "type": "stop", "reason": "seen enough"}]
    server.wait_for_final()
    assert server.steps[0] > event["step"]


def test_what_the_operator_knows_of_stands_until_it_knows_what_takes_its_place(start, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    scoring = {"strategy": "SingleMetric", "metric": {"name": "eval/loss", "goal": "Minimize"}}
    config = with_parameters(config_in(volume, checkpoints={"keepLast": 1}, scoring=scoring), nEstimators=100_000)
    server, pod = start({**config, "job": JOB, "agent": QUICK})
    server.wait_for(lambda: len([e for e in server.ledger.events if e["type"] == "checkpoint" and e["verified"]]) >= 4)
    server.always = 503
    # What was taken before is answered then.
    seen = len(server.requests)
    server.wait_for(lambda: len(server.requests) > seen + 1)
    known = verified(server.events)
    newest = known[0]["step"]
    wait_until(lambda: any(step > newest + 100 for step in Finished(volume, 0, []).stored_checkpoints))
    # The newest and the best by now, and those of which the operator knows: no more than that however long it is away.
    assert len(Finished(volume, 0, []).stored_checkpoints) <= 5
    pod.kill()
    best = min(server.of_type("evaluation"), key=lambda event: event["evalLoss"])["step"]
    for checkpoint in known:
        if checkpoint["step"] in (newest, best):
            verify(checkpoint["uri"], checkpoint["manifestSHA256"])
    second = {**config, "job": {**JOB, "attempt": 2}, "agent": QUICK, "resume": {"checkpoints": known}}
    server, _pod = start(second, env={"TRAININGJOB_ATTEMPT": "2"})
    server.wait_for(lambda: any(event["type"] == "resumed" for event in server.ledger.events))
    assert server.of_type("resumed")[0]["step"] == newest
    server.commands = [{"id": "1", "type": "stop", "reason": "seen enough"}]
    server.wait_for_final()


def test_end_of_a_run_leaves_no_more_than_the_rules_say(start, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    server, _pod = start({**config_in(volume, checkpoints={"keepLast": 1}), "job": JOB, "agent": QUICK})
    assert server.wait_for_final()["outcome"] == "Succeeded"
    done = Finished(volume, 0, server.events)
    assert done.stored_checkpoints == sorted({done.metrics["best_step"], ROUNDS})
    assert [checkpoint["step"] for checkpoint in verified(done.events)] == done.stored_checkpoints[::-1]


def test_request_in_a_real_process(tmp_path):
    config = with_parameters(config_in(tmp_path, evaluation={"everySteps": 400}), nEstimators=1_000_000)
    (tmp_path / "config.json").write_text(json.dumps(config))
    events, wanted = tmp_path / "events.jsonl", tmp_path / "wanted"
    events.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "trainingjob", "run", "--config", str(tmp_path / "config.json")],
        env={**os.environ, "TRAININGJOB_EVENTS": str(events), "TRAININGJOB_CHECKPOINT": str(wanted)},
        stdout=subprocess.DEVNULL,
    )

    def saved_between_evaluations() -> list[int]:
        wanted.write_text(f"request-{time.monotonic()}")
        steps = [event["step"] for event in of_type(read_events(events), "checkpoint") if event["verified"]]
        return [step for step in steps if step % 400]

    try:
        wait_until(saved_between_evaluations)
    finally:
        process.kill()
        process.wait()
    newest = max(path.name for path in (tmp_path / "checkpoints").iterdir() if (path / "manifest.json").exists())
    verify((tmp_path / "checkpoints" / newest).as_uri())

"""A fine-tuning run that goes on elsewhere comes to what it would have come to without a break."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.finetunejob import finetune_config, lost_at, offered, run, state_of
from trainingjob.exitcodes import ExitCode
from trainingjob.finetune import demo

torch.set_num_threads(1)

# Two passes over the data and a part of a third, in steps of two batches each, with chance in every layer.
PARAMETERS = {"maxSteps": 16, "gradientAccumulationSteps": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model", hidden=32)
    demo.write_rows(folder / "sft.jsonl", demo.conversations(60))
    return folder


def config_in(folder, made, **members):
    members = {"checkpoints": {"keepLast": 2}, "parameters": PARAMETERS, **members}
    return finetune_config(folder, made / "model", made / "sft.jsonl", **members)


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return run(folder, config_in(folder, made))


@pytest.mark.parametrize("at", [3, 7, 14])
def test_run_that_is_lost_gives_what_a_whole_one_gives(made, whole, tmp_path, at):
    config = config_in(tmp_path / "run", made)
    before = lost_at(at, tmp_path / "run", config)
    (tmp_path / "run" / "events.jsonl").unlink()
    done = run(tmp_path / "run", {**config, "resume": offered(before)})
    assert done.code == ExitCode.SUCCESS
    (resumed,) = done.of("resumed")
    reached = (at - 1) // 4 * 4
    assert (resumed["step"], resumed["rejected"]) == (reached, [])
    assert min(event["step"] for event in done.of("point")) > reached
    assert done.losses() == {step: loss for step, loss in whole.losses().items() if step > reached}
    assert done.of("result")[0]["bestStep"] == whole.of("result")[0]["bestStep"]
    assert done.stored() == whole.stored()
    state, wanted = (state_of(each.folder, 16, "scorer.json") for each in (done, whole))
    # When they trained and for how long, no two runs have in common.
    for name in ("startedAt", "trainingSeconds"):
        assert state.pop(name)
        assert wanted.pop(name)
    assert state == wanted
    ours, theirs = (load_file(each.folder / "output" / "model.safetensors") for each in (done, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_damaged_checkpoint_is_passed_over_for_the_one_before(made, whole, tmp_path):
    config = config_in(tmp_path / "run", made)
    before = lost_at(14, tmp_path / "run", config)
    (tmp_path / "run" / "events.jsonl").unlink()
    (tmp_path / "run" / "checkpoints" / "checkpoint-12" / "optimizer.pt").write_bytes(b"half")
    done = run(tmp_path / "run", {**config, "resume": offered(before)})
    (resumed,) = done.of("resumed")
    assert resumed["step"] == 8
    assert "optimizer.pt reads back with other content" in resumed["rejected"][0]["reason"]
    assert done.losses()[16] == whole.losses()[16]


def test_changed_data_are_not_gone_on_with(made, tmp_path):
    shutil.copy(made / "sft.jsonl", tmp_path / "sft.jsonl")
    config = finetune_config(tmp_path / "run", made / "model", tmp_path / "sft.jsonl", parameters={"maxSteps": 8})
    before = lost_at(6, tmp_path / "run", config)
    (tmp_path / "run" / "events.jsonl").unlink()
    demo.write_rows(tmp_path / "sft.jsonl", demo.conversations(61))
    done = run(tmp_path / "run", {**config, "resume": offered(before)})
    (resumed,) = done.of("resumed")
    assert (resumed["step"], "the data have changed" in resumed["rejected"][0]["reason"]) == (0, True)

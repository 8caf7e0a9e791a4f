"""Memory or disk that does not suffice: the same training with smaller batches, some times, and then an end that says what to do."""

import pytest
import torch

from tests.demojob import of_type, read_events
from tests.finetunejob import finetune_config, run
from trainingjob.config import parse_config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo
from trainingjob.finetune.memory import with_half_the_batch
from trainingjob.finetune.parameters import FineTuneConfig
from trainingjob.finetune.processes import with_batches
from trainingjob.storage.manifest import verify

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model", hidden=32)
    demo.write_rows(folder / "sft.jsonl", demo.conversations(60))
    return folder


def with_room_for(rows, monkeypatch, *, from_step=0):
    """A device on which no more rows than these fit at once, from a step on."""
    from trl import SFTTrainer

    whole = SFTTrainer.training_step

    def training_step(self, model, inputs, *more):
        if len(inputs["input_ids"]) > rows and self.state.global_step >= from_step:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return whole(self, model, inputs, *more)

    monkeypatch.setattr(SFTTrainer, "training_step", training_step)


def test_run_goes_on_from_its_checkpoint_with_half_the_batch(made, tmp_path, monkeypatch):
    lora = {"r": 4, "alpha": 8, "dropout": "0"}
    config = {
        name: finetune_config(tmp_path / name, made / "model", made / "sft.jsonl", lora=lora)
        for name in ("whole", "less")
    }
    whole = run(tmp_path / "whole", config["whole"])
    with_room_for(2, monkeypatch, from_step=6)
    less = run(tmp_path / "less", config["less"])
    assert less.code == ExitCode.SUCCESS
    (alert,) = less.of("alert")
    assert "perDeviceTrainBatchSize 2 and gradientAccumulationSteps 2" in alert["message"]
    assert less.of("resumed")[0]["step"] == 4
    assert less.of("totals")[-1]["totalSteps"] == 12
    # The same rows in each step, and the mean over the same tokens.
    assert less.losses() == pytest.approx(whole.losses(), rel=1e-3)


SMALLER = [
    # Rows at once and batches of a step, before and after.
    ((8, 1), (4, 2)), ((6, 1), (3, 2)), ((3, 1), (1, 3)), ((5, 2), (2, 5)), ((3, 4), (1, 12)), ((7, 1), (1, 7)),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), SMALLER)
def test_batch_of_an_odd_number_is_made_smaller_too(made, tmp_path, before, after):
    config = parse_config(finetune_config(tmp_path, made / "model", made / "sft.jsonl"))
    assert isinstance(config.trainer, FineTuneConfig)
    smaller = with_half_the_batch(with_batches(config.trainer, *before))
    assert smaller == with_batches(config.trainer, *after)
    assert with_half_the_batch(with_batches(config.trainer, 1, 8)) is None


def test_run_that_fits_in_no_way_ends_with_what_to_do(made, tmp_path, monkeypatch):
    with_room_for(0, monkeypatch)
    with pytest.raises(TrainingError, match=r"memory did not suffice; lower .*perDeviceTrainBatchSize") as caught:
        run(tmp_path / "run", finetune_config(tmp_path / "run", made / "model", made / "sft.jsonl"))
    assert caught.value.code == ExitCode.OUT_OF_MEMORY


def test_disk_that_is_full_at_a_checkpoint_keeps_the_one_before(made, tmp_path, monkeypatch):
    """What torch writes to a full disk fails without a word of it: the optimizer's state is what fills it."""
    save = torch.save

    def save_until_full(value, path, *more, **how):
        save(value, "/dev/full" if "checkpoint-8/" in str(path) else path, *more, **how)

    monkeypatch.setattr(torch, "save", save_until_full)
    with pytest.raises(
        TrainingError, match=r"the container's disk is full; raise spec\.compute\.containerDiskGB"
    ) as caught:
        run(tmp_path / "run", finetune_config(tmp_path / "run", made / "model", made / "sft.jsonl"))
    assert caught.value.code == ExitCode.ARTIFACTS
    (checkpoint,) = of_type(read_events(tmp_path / "run" / "events.jsonl"), "checkpoint")
    assert checkpoint["step"] == 4
    verify(checkpoint["uri"], checkpoint["manifestSHA256"])

"""Trainers of other libraries with our callbacks: what they report and store, and that they obey and go on."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

from tests.demojob import of_type, read_events
from tests.finetunejob import offered
from trainingjob import keeper, reporting
from trainingjob.integrations.lightning import TrainingJobCallback as ForLightning
from trainingjob.integrations.transformers import TrainingJobCallback as ForTransformers

torch.set_num_threads(1)

RULES = {
    "evaluation": {"everySteps": 4},
    "checkpoints": {"keepBest": 1, "keepLast": 2},
    "scoring": {"strategy": "SingleMetric", "metric": {"name": "eval/loss", "goal": "Minimize"}},
}
STEPS = 12


def at(step: int, act: Any) -> Any:
    """Does something after a step, before our callback asks."""
    return SimpleNamespace(step=step, act=act)


class Rows(torch.utils.data.Dataset):  # type: ignore[misc]
    """Sequences that can be learned: each token follows from the one before."""

    def __init__(self, count: int) -> None:
        self._starts = list(range(count))

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = torch.tensor([(self._starts[index] * 3 + place * 5) % 32 for place in range(12)])
        return {"input_ids": ids, "labels": ids}


class DuringTransformers(TrainerCallback):  # type: ignore[misc]
    def __init__(self, given: Any) -> None:
        self._given = given

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._given is not None and state.global_step == self._given.step:
            self._given.act()


def train_transformers(folder: Path, given: Any = None, **arguments: Any) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    callback = ForTransformers()
    trainer = Trainer(
        LlamaForCausalLM(config),
        TrainingArguments(
            str(folder / "library"),
            max_steps=STEPS,
            per_device_train_batch_size=4,
            learning_rate=1e-2,
            logging_steps=2,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **{"save_strategy": "no", "eval_strategy": "no", **arguments},
        ),
        train_dataset=Rows(32),
        eval_dataset=Rows(8),
        callbacks=[DuringTransformers(given), callback],
    )
    trainer.train(resume_from_checkpoint=callback.resume())


class Module(lightning.LightningModule):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def loss(self, batch: Any) -> Any:
        rows, wanted = batch
        return torch.nn.functional.mse_loss(self.layer(rows), wanted)

    def training_step(self, batch: Any, _: int) -> Any:
        loss = self.loss(batch)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, _: int) -> None:
        self.log("val/loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.05)


class Placed(DataLoader):  # type: ignore[misc]
    """A loader that knows its place, which Lightning keeps in checkpoints."""

    _done = _skip = 0

    def __iter__(self) -> Any:
        skip, self._skip = self._skip, 0
        for self._done, batch in enumerate(super().__iter__(), 1):
            if self._done > skip:
                yield batch

    def state_dict(self) -> dict[str, int]:
        return {"done": self._done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._skip = state["done"]


class DuringLightning(lightning.Callback):  # type: ignore[misc]
    def __init__(self, given: Any) -> None:
        self._given = given

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if self._given is not None and trainer.global_step == self._given.step:
            self._given.act()


def train_lightning(folder: Path, given: Any = None, **arguments: Any) -> None:
    lightning.seed_everything(0, verbose=False)
    rows = torch.randn(48, 4)
    data = TensorDataset(rows, rows.sum(1, keepdim=True))
    callback = ForLightning()
    trainer = lightning.Trainer(
        max_steps=STEPS,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=2,
        num_sanity_val_steps=1,
        default_root_dir=folder,
        val_check_interval=callback.evaluation_every_steps,
        callbacks=[DuringLightning(given), callback],
        **arguments,
    )
    trainer.fit(Module(), Placed(data, batch_size=4), DataLoader(data, batch_size=48), ckpt_path=callback.resume())


LIBRARIES = {"transformers": train_transformers, "lightning": train_lightning}


@dataclass(frozen=True)
class Played:
    """A run of a library that is over; `code` is None where it came to its own end."""

    events: list[dict[str, Any]]
    code: Any

    def of(self, kind: str) -> list[dict[str, Any]]:
        return of_type(self.events, kind)

    def losses(self) -> dict[int, float]:
        return {event["step"]: event["evalLoss"] for event in self.of("evaluation")}

    def stored(self) -> set[int]:
        return {event["step"] for event in offered(self.events)["checkpoints"]}


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Trains with a library as the agent would start it; what is stored goes to one place."""

    def play(library: str, name: str, *, rules: Any = RULES, resume: Any = None, stores: bool = True, **more: Any):
        folder = tmp_path / name
        folder.mkdir()
        reporting._train_losses.clear()
        monkeypatch.setattr(reporting, "_stop_requested", False)
        environment = {
            reporting.EVENTS_FILE: str(folder / "events.jsonl"),
            reporting.RULES: json.dumps(rules),
            "TRAININGJOB_RESUME": "" if resume is None else json.dumps(resume),
            "TRAININGJOB_CHECKPOINTS_URI": (tmp_path / "checkpoints").as_uri() if stores else "",
        }
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        code = None
        try:
            LIBRARIES[library](folder, **more)
        except SystemExit as end:
            code = end.code
        return Played(read_events(folder / "events.jsonl"), code)

    return play


both = pytest.mark.parametrize("library", LIBRARIES)


@both
def test_a_run_tells_its_length_first_and_its_best_step_is_stored(play, tmp_path, library):
    done = play(library, "whole")
    assert done.code is None
    kinds = [event["type"] for event in done.events if event["type"] != "stage"]
    assert kinds[0] == "totals"
    (totals,) = done.of("totals")
    assert (totals["totalSteps"], totals["evaluationEverySteps"], totals["checkpointEverySteps"]) == (STEPS, 4, 4)
    losses = done.losses()
    assert list(losses) == [4, 8, 12]
    assert losses[12] < losses[4]
    for event in done.of("evaluation"):
        assert event["trainLossStep"] == event["step"]
    points = {event["step"]: event["metrics"]["train/loss"] for event in done.of("point")}
    assert {2, 4, 6, 8, 10, 12} <= points.keys()
    best = min(losses, key=lambda step: losses[step])
    assert best in done.stored()
    assert done.stored() == {8, 12, best}
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {
        f"checkpoint-{step}" for step in done.stored()
    }


@both
def test_a_stopped_run_leaves_its_step_and_the_next_goes_on_to_the_same_end(play, library):
    whole = play(library, "whole", stores=False)
    stopped = play(library, "first", given=at(6, reporting.request_stop))
    assert stopped.code == 130
    assert list(stopped.losses()) == [4]
    assert stopped.stored() == {4, 6}
    again = play(library, "second", resume=offered(stopped.events))
    assert again.code is None
    assert again.of("resumed")[0]["step"] == 6
    assert again.losses() == pytest.approx({step: loss for step, loss in whole.losses().items() if step > 6}, rel=1e-5)


@both
def test_a_checkpoint_is_stored_when_it_is_asked_for(play, tmp_path, monkeypatch, library):
    request = tmp_path / "request"
    monkeypatch.setenv(reporting.CHECKPOINT_FILE, str(request))
    done = play(library, "asked", given=at(6, lambda: request.write_text("1")))
    assert done.code is None
    assert 6 in {event["step"] for event in done.of("checkpoint")}
    assert list(done.losses()) == [4, 8, 12]


@both
def test_a_checkpoint_is_stored_when_its_minutes_have_passed(play, monkeypatch, library):
    monkeypatch.setattr(keeper, "_MINUTE_SECONDS", 0)
    done = play(library, "minutes", rules={**RULES, "checkpoints": {"everyMinutes": 1, "keepLast": 99}})
    assert done.code is None
    # While one is stored, no other is due.
    assert {event["step"] for event in done.of("checkpoint")} >= {1, 4, 8, 12}


@both
def test_without_a_place_for_checkpoints_it_reports_and_stops(play, library):
    done = play(library, "bare", stores=False, given=at(6, reporting.request_stop))
    assert (done.code, done.of("checkpoint")) == (130, [])
    assert "checkpointEverySteps" not in done.of("totals")[0]


@both
def test_storage_that_fails_ends_the_process_with_code_6(play, tmp_path, library):
    (tmp_path / "checkpoints").write_text("in the way")
    done = play(library, "full")
    assert done.code == 6
    assert "cannot be" in done.of("failure")[0]["message"]


def test_what_the_library_saves_by_itself_is_stored_too(play):
    done = play("transformers", "own", save_strategy="steps", save_steps=5, rules={"checkpoints": {"keepLast": 9}})
    assert {event["step"] for event in done.of("checkpoint")} == {5, 10, 12}
    assert done.of("evaluation") == []


def test_evaluations_of_the_library_are_reported(play):
    done = play("transformers", "own", eval_strategy="steps", eval_steps=6, rules={}, stores=False)
    assert list(done.losses()) == [6, 12]
    assert done.of("totals")[0]["evaluationEverySteps"] == 6


def test_several_processes_are_refused_with_what_to_do_instead():
    with pytest.raises(ValueError, match="there are 2"):
        ForTransformers().on_train_begin(SimpleNamespace(world_size=2), None, None)
    with pytest.raises(ValueError, match="write devices=1"):
        ForLightning().on_train_start(SimpleNamespace(world_size=2), None)

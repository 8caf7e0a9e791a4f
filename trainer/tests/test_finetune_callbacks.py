"""Callbacks of the user's image: what they see, and what it means when they end the training."""

import os
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from tests.finetunejob import calling, finetune_config, resumed, run, state_of
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model", hidden=32)
    demo.write_rows(folder / "sft.jsonl", demo.conversations(60))
    return folder


@pytest.fixture
def config(made, tmp_path):
    def config(**members):
        return finetune_config(tmp_path / "run", made / "model", made / "sft.jsonl", **members)

    return config


class Noting(TrainerCallback):  # type: ignore[misc]
    """Writes down what transformers tells it."""

    def on_train_begin(self, args, state, control, **_):
        self.file = Path(os.environ["NOTES"]).open("a")  # noqa: SIM115

    def on_log(self, args, state, control, logs=None, **_):
        self.file.write(f"{state.global_step} {logs.get('loss', '')}\n")

    def on_train_end(self, args, state, control, **_):
        self.file.close()


class Ending(TrainerCallback):  # type: ignore[misc]
    """Ends the training at step 6, between evaluations."""

    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = state.global_step == 6


class EndingAtALog(TrainerCallback):  # type: ignore[misc]
    def on_log(self, args, state, control, logs=None, **_):
        control.should_training_stop = control.should_training_stop or state.global_step == 6


class EndingWithAnEpoch(TrainerCallback):  # type: ignore[misc]
    def on_epoch_end(self, args, state, control, **_):
        control.should_training_stop = True


class Needy(TrainerCallback):  # type: ignore[misc]
    def __init__(self, address):
        self.address = address


def test_callback_of_the_image_sees_what_the_trainer_logs(config, tmp_path, monkeypatch):
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    done = run(tmp_path / "run", config(**calling("tests.test_finetune_callbacks:Noting")))
    noted = [line.split() for line in (tmp_path / "notes").read_text().splitlines()]
    losses = {int(words[0]): float(words[1]) for words in noted if len(words) == 2}
    assert losses == {event["step"]: event["metrics"]["train/loss"] for event in done.of("point")}


def test_callback_of_the_image_may_end_the_training_and_the_last_step_counts(config, tmp_path):
    done = run(tmp_path / "run", config(**calling("tests.test_finetune_callbacks:Ending")))
    assert done.code == ExitCode.SUCCESS
    assert list(done.losses()) == [4, 6]
    assert done.of("result")[0]["bestStep"] == 6
    assert 6 in done.stored()


@pytest.mark.parametrize(("name", "evaluated"), [("EndingAtALog", [4, 6]), ("EndingWithAnEpoch", [4, 8, 12, 14])])
def test_step_at_which_a_callback_ends_the_training_elsewhere_counts_too(config, tmp_path, name, evaluated):
    done = run(
        tmp_path / "run", config(parameters={"maxSteps": 40}, **calling(f"tests.test_finetune_callbacks:{name}"))
    )
    assert (done.code, list(done.losses())) == (ExitCode.SUCCESS, evaluated)
    assert evaluated[-1] in done.stored()
    # With a train loss of its own.
    assert done.of("point")[-1]["step"] == evaluated[-1]
    assert state_of(tmp_path / "run", evaluated[-1], "scorer.json")["ended"] is True


def test_epoch_that_ends_at_an_evaluated_step_is_saved_when_a_callback_ends_the_training_with_it(config, tmp_path):
    """It was neither the best nor due, and nobody knew that it is the last when it was evaluated."""
    worse = {"strategy": "SingleMetric", "metric": {"name": "eval/loss", "goal": "Maximize"}}
    rules = {"evaluation": {"everySteps": 7}, "checkpoints": {"everySteps": 28, "keepLast": 1}, "scoring": worse}
    given = config(parameters={"maxSteps": 40}, **rules, **calling("tests.test_finetune_callbacks:EndingWithAnEpoch"))
    done = run(tmp_path / "run", given)
    assert (done.code, list(done.losses()), done.stored()) == (ExitCode.SUCCESS, [7, 14], [7, 14])
    assert done.of("result")[0]["bestStep"] == 7
    assert state_of(tmp_path / "run", 14, "scorer.json")["ended"] is True


def test_step_that_was_stored_before_a_callback_ended_the_training_is_not_stored_again(config, tmp_path):
    """The operator counts on a checkpoint as it was reported."""
    rules = {"evaluation": {"everySteps": 7}}
    given = config(parameters={"maxSteps": 40}, **rules, **calling("tests.test_finetune_callbacks:EndingWithAnEpoch"))
    done = run(tmp_path / "run", given)
    assert (done.code, list(done.losses())) == (ExitCode.SUCCESS, [7, 14])
    assert [event["step"] for event in done.of("checkpoint") if event["verified"]] == [7, 14]


def test_attempt_after_a_callback_ended_the_training_trains_no_further(config, tmp_path):
    """As where publishing failed: all that is left is the output."""
    first = run(tmp_path / "run", config(**calling("tests.test_finetune_callbacks:Ending")))
    assert state_of(tmp_path / "run", 6, "scorer.json")["ended"] is True
    done = resumed(tmp_path / "run", config(**calling("tests.test_finetune_callbacks:Ending")))
    assert done.of("resumed")[0]["step"] == 6
    assert (done.code, done.of("point"), done.of("evaluation")) == (ExitCode.SUCCESS, [], [])
    assert done.of("result")[0]["bestStep"] == first.of("result")[0]["bestStep"]


NOT_CALLABLE = [
    ("no.such.module:Class", "no.such.module:Class is not in this image: No module named 'no'"),
    ("tests.test_finetune_callbacks:Absent", "has no attribute 'Absent'; write MODULE:NAME"),
    (
        "tests.test_finetune_callbacks:calling",
        "tests.test_finetune_callbacks:calling is no class that inherits from transformers",
    ),
    (
        "tests.test_finetune_callbacks:Needy",
        "tests.test_finetune_callbacks:Needy cannot be made without arguments: TypeError",
    ),
]


@pytest.mark.parametrize(("name", "sentence"), NOT_CALLABLE, ids=[name for name, _ in NOT_CALLABLE])
def test_callback_that_cannot_be_used(config, tmp_path, name, sentence):
    with pytest.raises(TrainingError) as caught:
        run(tmp_path / "run", config(**calling(name)))
    assert caught.value.code == ExitCode.CONFIGURATION
    assert f"trainer.fineTune.callbacks: entryPoint {name}" in str(caught.value)
    assert sentence in str(caught.value)

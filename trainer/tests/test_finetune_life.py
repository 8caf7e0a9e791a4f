"""What ends, follows and changes a fine-tuning run while it trains."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from tests.finetunejob import finetune_config, lost_at, offered, run
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


def resumed(folder, config):
    """The next attempt after whatever is in the folder; its events alone."""
    before = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    (folder / "events.jsonl").unlink()
    return run(folder, {**config, "resume": offered(before)})


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


class Needy(TrainerCallback):  # type: ignore[misc]
    def __init__(self, address):
        self.address = address


def calling(*names):
    return {"finetune": {"callbacks": [{"entryPoint": name} for name in names]}}


# Nothing is better by so much, so the run ends after as many evaluations as there is patience for, and one.
STOPPING = {"parameters": {"maxSteps": 40}, "earlyStopping": {"patience": 2, "minDelta": "1000"}}


@pytest.fixture(scope="module")
def stopped_early(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    return run(folder, finetune_config(folder, made / "model", made / "sft.jsonl", **STOPPING))


def test_run_ends_early_with_its_best_step_and_says_so(stopped_early):
    done = stopped_early
    assert done.code == ExitCode.SUCCESS
    assert list(done.losses()) == [4, 8, 12]
    (alert,) = done.of("alert")
    assert (alert["name"], alert["severity"]) == ("EarlyStopped", "Info")
    assert alert["message"].startswith("2 evaluations in a row lowered the score by no more than 1000;")
    assert done.of("result")[0]["bestStep"] == 12
    # The last one is there, whatever its score: it is where another attempt would go on.
    assert 12 in done.stored()


def test_run_that_is_lost_ends_early_where_a_whole_one_does(stopped_early, config, tmp_path):
    lost_at(10, tmp_path / "run", config(**STOPPING))
    done = resumed(tmp_path / "run", config(**STOPPING))
    assert done.of("resumed")[0]["step"] == 8
    assert done.losses() == {12: stopped_early.losses()[12]}
    ours, theirs = (load_file(each.folder / "output" / "model.safetensors") for each in (done, stopped_early))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_attempt_after_an_early_end_trains_no_further(stopped_early, config, tmp_path):
    run(tmp_path / "run", config(**STOPPING))
    done = resumed(tmp_path / "run", config(**STOPPING))
    assert (done.code, done.of("point"), done.of("evaluation")) == (ExitCode.SUCCESS, [], [])
    assert [alert["name"] for alert in done.of("alert")] == ["EarlyStopped"]
    assert done.of("result")[0]["bestStep"] == stopped_early.of("result")[0]["bestStep"]


def test_early_stop_by_a_metric_that_evaluations_do_not_have(config, tmp_path):
    rule = {"patience": 1, "metric": {"name": "eval/accuracy", "goal": "Maximize"}}
    with pytest.raises(TrainingError, match=r'earlyStopping\.metric\.name: "eval/accuracy" is no metric') as caught:
        run(tmp_path / "run", config(earlyStopping=rule))
    assert caught.value.code == ExitCode.CONFIGURATION
    assert "eval/perplexity" in str(caught.value)


def test_early_stop_by_a_metric_that_is_not_the_score(config, tmp_path):
    """Perplexity falls at every evaluation, so a run that waits for it to rise ends."""
    rule = {"patience": 1, "metric": {"name": "eval/perplexity", "goal": "Maximize"}}
    done = run(tmp_path / "run", config(earlyStopping=rule))
    assert list(done.losses()) == [4, 8]
    assert "1 evaluations in a row raised eval/perplexity by no more than 0;" in done.of("alert")[0]["message"]


def test_callback_of_the_image_sees_what_the_trainer_logs(config, tmp_path, monkeypatch):
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    done = run(tmp_path / "run", config(**calling("tests.test_finetune_life:Noting")))
    noted = [line.split() for line in (tmp_path / "notes").read_text().splitlines()]
    losses = {int(words[0]): float(words[1]) for words in noted if len(words) == 2}
    assert losses == {event["step"]: event["metrics"]["train/loss"] for event in done.of("point")}


def test_callback_of_the_image_may_end_the_training_and_the_last_step_counts(config, tmp_path):
    done = run(tmp_path / "run", config(**calling("tests.test_finetune_life:Ending")))
    assert done.code == ExitCode.SUCCESS
    assert list(done.losses()) == [4, 6]
    assert done.of("result")[0]["bestStep"] == 6
    assert 6 in done.stored()


NOT_CALLABLE = [
    ("no.such.module:Class", "no.such.module:Class is not in this image: No module named 'no'"),
    ("tests.test_finetune_life:Absent", "has no attribute 'Absent'; write MODULE:NAME"),
    (
        "tests.test_finetune_life:calling",
        "tests.test_finetune_life:calling is no class that inherits from transformers",
    ),
    ("tests.test_finetune_life:Needy", "tests.test_finetune_life:Needy cannot be made without arguments: TypeError"),
]


@pytest.mark.parametrize(("name", "sentence"), NOT_CALLABLE, ids=[name for name, _ in NOT_CALLABLE])
def test_callback_that_cannot_be_used(config, tmp_path, name, sentence):
    with pytest.raises(TrainingError) as caught:
        run(tmp_path / "run", config(**calling(name)))
    assert caught.value.code == ExitCode.CONFIGURATION
    assert f"trainer.fineTune.callbacks: entryPoint {name}" in str(caught.value)
    assert sentence in str(caught.value)

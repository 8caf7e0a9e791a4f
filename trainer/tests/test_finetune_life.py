"""What ends, follows and changes a fine-tuning run while it trains."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboardX.proto.event_pb2 import Event
from transformers import TrainerCallback, get_scheduler
from transformers.integrations import TensorBoardCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from tests.finetunejob import finetune_config, lost_at, offered, run, state_of
from trainingjob import keeper, reporting, stages
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo
from trainingjob.finetune.learningrate import change
from trainingjob.finetune.life import Life
from trainingjob.finetune.parameters import TRACKERS
from trainingjob.finetune.schedules import SCHEDULERS, SchedulerKwargs, library_kwargs

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


class EndingAtALog(TrainerCallback):  # type: ignore[misc]
    def on_log(self, args, state, control, logs=None, **_):
        control.should_training_stop = control.should_training_stop or state.global_step == 6


class EndingWithAnEpoch(TrainerCallback):  # type: ignore[misc]
    def on_epoch_end(self, args, state, control, **_):
        control.should_training_stop = True


class Needy(TrainerCallback):  # type: ignore[misc]
    def __init__(self, address):
        self.address = address


class Asking(TrainerCallback):  # type: ignore[misc]
    """Asks for another learning rate at step 5, as the agent does for the operator."""

    def on_step_end(self, args, state, control, **_):
        if state.global_step == 5:
            Path(os.environ["TRAININGJOB_LEARNING_RATE"]).write_text("0.001")


def calling(*names):
    return {"finetune": {"callbacks": [{"entryPoint": name} for name in names]}}


# Nothing is better by so much, so the run ends after as many evaluations as there is patience for, and one.
STOPPING: dict[str, Any] = {"parameters": {"maxSteps": 40}, "earlyStopping": {"patience": 2, "minDelta": "1000"}}


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


@pytest.mark.parametrize(("seed", "same"), [(42, True), (43, False)])
def test_seed_of_the_job_decides_and_the_state_of_chance_before_it_does_not(
    stopped_early, config, tmp_path, seed, same
):
    torch.manual_seed(seed * 7)
    parameters = {**STOPPING["parameters"], "seed": seed}
    done = run(tmp_path / "run", config(**{**STOPPING, "parameters": parameters}))
    assert (done.losses() == stopped_early.losses()) is same


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


@pytest.mark.parametrize(("name", "evaluated"), [("EndingAtALog", [4, 6]), ("EndingWithAnEpoch", [4, 8, 12, 14])])
def test_step_at_which_a_callback_ends_the_training_elsewhere_counts_too(config, tmp_path, name, evaluated):
    done = run(tmp_path / "run", config(parameters={"maxSteps": 40}, **calling(f"tests.test_finetune_life:{name}")))
    assert (done.code, list(done.losses())) == (ExitCode.SUCCESS, evaluated)
    assert evaluated[-1] in done.stored()
    # With a train loss of its own.
    assert done.of("point")[-1]["step"] == evaluated[-1]
    assert state_of(tmp_path / "run", evaluated[-1], "scorer.json")["ended"] is True


def test_epoch_that_ends_at_an_evaluated_step_is_saved_when_a_callback_ends_the_training_with_it(config, tmp_path):
    """It was neither the best nor due, and nobody knew that it is the last when it was evaluated."""
    worse = {"strategy": "SingleMetric", "metric": {"name": "eval/loss", "goal": "Maximize"}}
    rules = {"evaluation": {"everySteps": 7}, "checkpoints": {"everySteps": 28, "keepLast": 1}, "scoring": worse}
    given = config(parameters={"maxSteps": 40}, **rules, **calling("tests.test_finetune_life:EndingWithAnEpoch"))
    done = run(tmp_path / "run", given)
    assert (done.code, list(done.losses()), done.stored()) == (ExitCode.SUCCESS, [7, 14], [7, 14])
    assert done.of("result")[0]["bestStep"] == 7
    assert state_of(tmp_path / "run", 14, "scorer.json")["ended"] is True


def test_step_that_was_stored_before_a_callback_ended_the_training_is_not_stored_again(config, tmp_path):
    """The operator counts on a checkpoint as it was reported."""
    rules = {"evaluation": {"everySteps": 7}}
    given = config(parameters={"maxSteps": 40}, **rules, **calling("tests.test_finetune_life:EndingWithAnEpoch"))
    done = run(tmp_path / "run", given)
    assert (done.code, list(done.losses())) == (ExitCode.SUCCESS, [7, 14])
    assert [event["step"] for event in done.of("checkpoint") if event["verified"]] == [7, 14]


def test_attempt_after_a_callback_ended_the_training_trains_no_further(config, tmp_path):
    """As where publishing failed: all that is left is the output."""
    first = run(tmp_path / "run", config(**calling("tests.test_finetune_life:Ending")))
    assert state_of(tmp_path / "run", 6, "scorer.json")["ended"] is True
    done = resumed(tmp_path / "run", config(**calling("tests.test_finetune_life:Ending")))
    assert done.of("resumed")[0]["step"] == 6
    assert (done.code, done.of("point"), done.of("evaluation")) == (ExitCode.SUCCESS, [], [])
    assert done.of("result")[0]["bestStep"] == first.of("result")[0]["bestStep"]


def test_attempt_after_a_stop_from_outside_trains_on(config, tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "should_stop", lambda: True)
    assert run(tmp_path / "run", config()).code == ExitCode.STOPPED
    assert state_of(tmp_path / "run", 1, "scorer.json")["ended"] is False
    monkeypatch.undo()
    assert list(resumed(tmp_path / "run", config()).losses()) == [4, 8, 12]


def test_long_evaluation_shows_that_it_moves(config, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "_EVERY_SECONDS", 0)
    done = run(tmp_path / "run", config(parameters={"maxSteps": 4}))
    told = [event.get("detail") for event in done.of("stage") if event["stage"] == "Evaluating"]
    rows = done.of("dataset")[0]["evalSamples"]
    assert told == [None, *(f"{batch} of {rows} batches" for batch in range(1, rows + 1))]


def test_checkpoint_by_minutes_needs_no_evaluation_and_none_follows_at_once(config, tmp_path, monkeypatch):
    class Clock:
        """A minute passes with each step; what is done in between takes no time."""

        def __init__(self):
            self.now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(keeper, "time", clock)
    end = Life.on_step_end

    def on_step_end(self, args, state, control, **more):
        self.uploads.wait()
        clock.now += 60
        end(self, args, state, control, **more)

    monkeypatch.setattr(Life, "on_step_end", on_step_end)
    rules = {"everySteps": 100, "everyMinutes": 3, "keepLast": 9}
    done = run(tmp_path / "run", config(evaluation={"everySteps": 100}, checkpoints=rules))
    # Asked first after step 1; the last step is saved whatever the minutes say.
    assert [event["step"] for event in done.of("checkpoint")] == [4, 7, 10, 12]
    assert list(done.losses()) == [12]


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


def scalars(folder, name):
    """What event files say of a metric, in order of the files: pairs of step and value."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:
            # A record is its length, a sum of that, itself, and a sum of itself.
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            found += [(event.step, value.simple_value) for value in event.summary.value if value.tag == name]
            content = content[16 + length :]
    return found


def test_output_has_what_tensorboard_shows(stopped_early):
    logged = {event["step"]: event["metrics"]["train/loss"] for event in stopped_early.of("point")}
    output = stopped_early.folder / "output"
    assert dict(scalars(output, "train/loss")) == pytest.approx(logged, rel=1e-6)
    assert dict(scalars(output, "eval/loss")) == pytest.approx(stopped_early.losses(), rel=1e-6)
    names = {file["path"] for file in json.loads((output / "manifest.json").read_text())["files"]}
    assert len([name for name in names if name.startswith("events.out.tfevents.")]) == 1


def test_curves_of_a_run_that_is_lost_are_whole(stopped_early, config, tmp_path):
    lost_at(10, tmp_path / "run", config(**STOPPING))
    done = resumed(tmp_path / "run", config(**STOPPING))
    for name in ("train/loss", "eval/loss"):
        assert scalars(done.folder / "output", name) == scalars(stopped_early.folder / "output", name)


def test_no_tracker_at_all(config, tmp_path):
    done = run(tmp_path / "run", config(parameters={"reportTo": [], "maxSteps": 4}))
    assert list((done.folder / "output").glob("events.*")) == []


def test_place_of_the_curves_is_where_the_environment_says(config, tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "curves"))
    done = run(tmp_path / "run", config(parameters={"maxSteps": 4}))
    assert [step for step, _ in scalars(tmp_path / "curves", "eval/loss")] == [4]
    assert list((done.folder / "output").glob("events.*")) == []


def test_trackers_are_those_of_transformers():
    assert sorted(TRACKERS) == sorted(INTEGRATION_TO_CALLBACK)


NEEDED = [
    ("mlflow", "mlflow"), ("wandb", "wandb"), ("comet_ml", "comet-ml"), ("azure_ml", "azureml-core"), ("dagshub", "dagshub"),
]  # fmt: skip


@pytest.mark.parametrize(("tracker", "package"), NEEDED, ids=[tracker for tracker, _ in NEEDED])
def test_tracker_that_is_not_in_the_image(config, tmp_path, tracker, package):
    with pytest.raises(TrainingError) as caught:
        run(tmp_path / "run", config(parameters={"reportTo": ["tensorboard", tracker]}))
    assert caught.value.code == ExitCode.CONFIGURATION
    assert f"reportTo: {tracker} needs the package {package}, which is not in this image; use" in str(caught.value)


def test_tracker_that_cannot_be_started(config, tmp_path):
    """Nobody listens there."""
    with pytest.raises(TrainingError, match=r"reportTo: kubeflow cannot be started: .*spec\.trainer\.env") as caught:
        run(tmp_path / "run", config(parameters={"reportTo": ["kubeflow"]}))
    assert caught.value.code == ExitCode.CONFIGURATION


def test_tracker_that_fails_later_does_not_end_the_training(config, tmp_path, monkeypatch):
    def away(*_, **__):
        raise ConnectionError("whoever keeps the curves is away")

    monkeypatch.setattr(TensorBoardCallback, "on_log", away)
    done = run(tmp_path / "run", config(parameters={"maxSteps": 4}))
    assert done.code == ExitCode.SUCCESS
    (alert,) = done.of("alert")
    assert (alert["name"], alert["severity"]) == ("TrackerFailed", "Warning")
    assert "tensorboard failed and gets nothing more of this attempt: ConnectionError('whoever" in alert["message"]


def rates_from(scheduler, optimizer, steps):
    found = []
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


def schedule(kind, height):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=height)
    kwargs = library_kwargs(kind, SchedulerKwargs(2, 0.25, 3.0, None), 12, 3)
    return get_scheduler(kind, optimizer, 3, 12, kwargs), optimizer


# Where each ends, and two steps before, of a height of 1.
ENDS = [
    ("linear", {}, 0.2, 0),
    ("cosine", {}, 0.0955, 0),
    ("cosine_with_restarts", {"num_cycles": 2}, 0.3455, 0),
    ("cosine_with_min_lr", {"min_lr_rate": 0.25}, 0.3216, 0.25),
    ("polynomial", {"power": 2.0}, 0.04, 0),
    ("inverse_sqrt", {}, None, None),
    ("warmup_stable_decay", {"num_decay_steps": 4}, None, 0),
    ("constant", {}, 1, 1),
    ("constant_with_warmup", {}, 1, 1),
]


@pytest.mark.parametrize(("kind", "given", "before", "last"), ENDS, ids=[kind for kind, *_ in ENDS])
def test_schedule_has_the_shape_that_its_name_says(kind, given, before, last):
    kwargs = SchedulerKwargs(**{"num_cycles": 1, "min_lr_rate": 0.1, "power": 1.0, "num_decay_steps": None, **given})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rates = rates_from(get_scheduler(kind, optimizer, 2, 12, library_kwargs(kind, kwargs, 12, 2)), optimizer, 12)
    assert max(rates) == pytest.approx(1)
    if before is not None:
        assert rates[9] == pytest.approx(before, abs=1e-4)
    if last is not None:
        assert rates[11] == pytest.approx(last, abs=1e-9)
    if kind == "warmup_stable_decay":
        # Six steps after the warm-up stay on top, the last four go down.
        assert rates[1:8] == [1.0] * 7
        assert rates[8] < 1
    if kind == "inverse_sqrt":
        assert rates == sorted(rates[:2]) + sorted(rates[2:], reverse=True)


def test_decay_is_never_longer_than_what_the_warm_up_leaves():
    kwargs = SchedulerKwargs(1, 0.1, 1.0, 500)
    assert library_kwargs("warmup_stable_decay", kwargs, 12, 2) == {"num_decay_steps": 10}
    assert library_kwargs("warmup_stable_decay", SchedulerKwargs(1, 0.1, 1.0, None), 40, 2) == {"num_decay_steps": 4}


@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.parametrize("at", [0, 2, 7])
def test_schedule_goes_on_as_if_it_had_begun_with_the_new_height(kind, at):
    scheduler, optimizer = schedule(kind, 0.01)
    rates_from(scheduler, optimizer, at)
    before, now = change(optimizer, scheduler, 0.001)
    assert before == pytest.approx(0.01)
    other, lower = schedule(kind, 0.001)
    rates_from(other, lower, at)
    assert now == scheduler.get_last_lr()[0] == pytest.approx(lower.param_groups[0]["lr"])
    left = 12 - at
    assert rates_from(scheduler, optimizer, left) == pytest.approx(rates_from(other, lower, left))


# Without a warm-up and with a report of every step, so that each rate is seen.
ASKING = {
    **calling("tests.test_finetune_life:Asking"),
    "parameters": {"maxSteps": 12, "loggingSteps": 1, "warmupSteps": 0, "lrSchedulerType": "linear"},
}


def places(folder):
    return {"checkpoints": (folder / "checkpoints").as_uri(), "output": (folder / "output").as_uri()}


def rates(done):
    return {event["step"]: event["metrics"]["train/learning_rate"] for event in done.of("point")}


def test_learning_rate_is_changed_while_a_run_trains_and_is_kept_by_the_next_attempt(config, tmp_path, monkeypatch):
    wanted = tmp_path / "rate"
    monkeypatch.setenv("TRAININGJOB_LEARNING_RATE", str(wanted))
    whole = run(tmp_path / "whole", config(**ASKING, storage=places(tmp_path / "whole")))
    # Step by step down a line from 0.01 to 0, from step 6 on down one from 0.001.
    line = {step: (0.01 if step < 6 else 0.001) * (1 - (step - 1) / 12) for step in range(1, 13)}
    assert rates(whole) == pytest.approx(line)
    (alert,) = whole.of("alert")
    assert (alert["name"], alert["severity"]) == ("LearningRateChanged", "Info")
    assert "has the height 0.001 from step 6 on, before 0.01;" in alert["message"]
    wanted.unlink()
    lost_at(10, tmp_path / "run", config(**ASKING))
    # Another pod was asked for nothing.
    wanted.unlink()
    done = resumed(tmp_path / "run", config(**ASKING))
    assert rates(done) == {step: rate for step, rate in rates(whole).items() if step > 8}
    assert done.losses()[12] == whole.losses()[12]

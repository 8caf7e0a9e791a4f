"""The learning rate's shape, and its change while a run trains."""

import os
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback, get_scheduler

from tests.finetunejob import calling, finetune_config, lost_at, resumed, run
from trainingjob.finetune import demo
from trainingjob.finetune.learningrate import change
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


class Asking(TrainerCallback):  # type: ignore[misc]
    """Asks for another learning rate at step 5, as the agent does for the operator."""

    def on_step_end(self, args, state, control, **_):
        if state.global_step == 5:
            Path(os.environ["TRAININGJOB_LEARNING_RATE"]).write_text("0.001")


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
    **calling("tests.test_finetune_schedules:Asking"),
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

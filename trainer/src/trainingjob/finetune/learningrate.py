"""The learning rate, changed while a run trains: the height of its schedule, not one step of it."""

import math
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainingjob import reporting
from trainingjob.finetune.ranks import Ranks


class LearningRate(TrainerCallback):  # type: ignore[misc]
    """Gives the schedule another height when one is asked for. Optimizer and scheduler keep it, and both travel in checkpoints, so an
    attempt that goes on has it too."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._done: float | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **has: Any) -> None:
        self._look(state.global_step, has["optimizer"], has["lr_scheduler"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **has: Any) -> None:
        self._look(state.global_step, has["optimizer"], has["lr_scheduler"])

    def _look(self, step: int, optimizer: Any, scheduler: Any) -> None:
        asked = reporting.wanted_learning_rate() if self._ranks.first else None
        (wanted,) = self._ranks.agreed([math.nan if asked is None else asked])
        if math.isnan(wanted) or wanted == self._done:
            return
        self._done = wanted
        if math.isclose(wanted, scheduler.base_lrs[0], rel_tol=1e-9):
            # The checkpoint that the run goes on from knows it already.
            return
        before, now = change(optimizer, scheduler, wanted)
        message = (
            f"the learning rate's schedule has the height {wanted:g} from step {step + 1} on, before {before:g}; "
            f"at this place of it the rate is {now:g}"
        )
        print(message, flush=True)  # noqa: T201
        reporting.emit({"type": "alert", "name": "LearningRateChanged", "severity": "Info", "message": message})


def change(optimizer: Any, scheduler: Any, wanted: float) -> tuple[float, float]:
    """Scales a schedule so that its height is `wanted`: the next step has the rate that the schedule would have had, had it begun
    with that height.

    Returns:
        The height before, and the rate of the next step.
    """
    before = float(scheduler.base_lrs[0])
    factor = wanted / before
    scheduler.base_lrs = [base * factor for base in scheduler.base_lrs]
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor
        group["initial_lr"] = group["initial_lr"] * factor
    # What the scheduler tells of the step to come; it computes it anew only at its own next step.
    scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]
    return before, float(scheduler._last_lr[0])

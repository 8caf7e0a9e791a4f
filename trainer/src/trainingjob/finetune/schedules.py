"""Schedules of the learning rate, and what each of them takes."""

from dataclasses import dataclass
from typing import Any

from trainingjob.fields import Fields, invalid

SCHEDULERS = (
    "linear", "cosine", "cosine_with_restarts", "cosine_with_min_lr", "polynomial", "inverse_sqrt", "warmup_stable_decay", "constant",
    "constant_with_warmup",
)  # fmt: skip
# The schedule that a member is for.
_OWNERS = {
    "numCycles": "cosine_with_restarts",
    "minLrRate": "cosine_with_min_lr",
    "power": "polynomial",
    "numDecaySteps": "warmup_stable_decay",
}


@dataclass(frozen=True)
class SchedulerKwargs:
    """`num_decay_steps` is None where nothing is said: a tenth of the run."""

    num_cycles: int
    min_lr_rate: float
    power: float
    num_decay_steps: int | None


def parse_scheduler_kwargs(value: Any, kind: str, where: str) -> SchedulerKwargs:
    """Parses `lrSchedulerKwargs` of the schedule that was chosen; raises TrainingError with exit code 2."""
    fields = Fields({} if value is None else value, where)
    decay = fields.get("numDecaySteps")
    found = SchedulerKwargs(
        num_cycles=fields.integer("numCycles", 1, least=1, most=10_000),
        min_lr_rate=fields.decimal(
            "minLrRate", "0.1", lambda rate: 0 <= rate < 1, "a number of at least 0 and below 1"
        ),
        power=fields.decimal("power", "1", lambda power: 0 < power <= 100, "a number above 0 and at most 100"),
        num_decay_steps=None if decay is None else fields.integer("numDecaySteps", least=1, most=100_000_000),
    )
    fields.close()
    for name, owner in _OWNERS.items():
        if fields.get(name) is not None and owner != kind:
            raise invalid(f"{where}.{name}: is for lrSchedulerType {owner}, not for {kind}; leave it out")
    return found


def library_kwargs(kind: str, given: SchedulerKwargs, total: int, warmup: int) -> dict[str, Any]:
    """What transformers' schedule of a run of `total` steps takes besides its warm-up."""
    if kind == "warmup_stable_decay":
        wanted = max(1, total // 10) if given.num_decay_steps is None else given.num_decay_steps
        return {"num_decay_steps": min(wanted, total - warmup)}
    kwargs: dict[str, dict[str, Any]] = {
        "cosine_with_restarts": {"num_cycles": given.num_cycles},
        "cosine_with_min_lr": {"min_lr_rate": given.min_lr_rate},
        # To zero, as the others: so that another height scales all of it.
        "polynomial": {"power": given.power, "lr_end": 0.0},
    }
    return kwargs.get(kind, {})

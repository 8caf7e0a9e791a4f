"""One metric of evaluations, and which way is better."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from trainingjob.fields import Fields, invalid, nearest
from trainingjob.scoring.score import Goal


@dataclass(frozen=True)
class Metric:
    """A metric by the name that evaluations report it under."""

    name: str
    goal: Goal


def parse_metric(value: Any, where: str) -> Metric:
    """Parses a name with its goal; raises TrainingError with exit code 2."""
    fields = Fields(value, where)
    name, goal = fields.text("name"), fields.text("goal")
    fields.close()
    if goal not in ("Minimize", "Maximize"):
        raise invalid(f"{where}.goal: must be Minimize or Maximize, not {goal!r}")
    return Metric(name, "Maximize" if goal == "Maximize" else "Minimize")


def require_metric(where: str, name: str | None, known: Iterable[str], owner: str) -> None:
    """Refuses a metric that evaluations do not have, with exit code 2; none is fine."""
    names = tuple(known)
    if name is not None and name not in names:
        raise invalid(
            f'{where}.name: "{name}" is no metric of {owner}.{nearest(name, names)} Known here: {", ".join(names)}'
        )

"""When more steps are not worth their price."""

import math
from dataclasses import dataclass
from typing import Any

from trainingjob import reporting
from trainingjob.fields import Fields
from trainingjob.progress import Progress
from trainingjob.scoring.metric import Metric, parse_metric


@dataclass(frozen=True)
class EarlyStopping:
    """The run ends when so many evaluations in a row did not better the score, or a metric, by more than `min_delta`."""

    patience: int
    min_delta: float
    metric: Metric | None = None

    @property
    def metric_name(self) -> str | None:
        return None if self.metric is None else self.metric.name

    def message(self) -> str:
        """What the run's end is told by."""
        if self.metric is None:
            what = "lowered the score by no"
        else:
            what = f"{'lowered' if self.metric.goal == 'Minimize' else 'raised'} {self.metric.name} by no"
        return f"{self.patience} evaluations in a row {what} more than {self.min_delta:g}; training ends early"


def parse_early_stopping(value: Any) -> EarlyStopping | None:
    """Parses `earlyStopping`; raises TrainingError with exit code 2."""
    if value is None:
        return None
    fields = Fields(value, "earlyStopping")
    metric = fields.get("metric")
    found = EarlyStopping(
        patience=fields.integer("patience", least=1),
        min_delta=fields.decimal("minDelta", "0", lambda delta: delta >= 0, "a number of at least 0"),
        metric=None if metric is None else parse_metric(metric, "earlyStopping.metric"),
    )
    fields.close()
    return found


def exhausted(rule: EarlyStopping | None, progress: Progress) -> bool:
    """Whether the rule ends the run. It looks at what a run knows of its evaluations and at nothing else, and that travels in
    every checkpoint: an attempt that goes on decides as this one would have. Evaluations without a finite value change nothing."""
    if rule is None:
        return False
    best, waited = math.inf, 0
    for value in _values(rule, progress):
        if value < best - rule.min_delta:
            best, waited = value, 0
        else:
            waited += 1
    return waited >= rule.patience


def tell(rule: EarlyStopping) -> None:
    """Reports the early end."""
    reporting.emit({"type": "alert", "name": "EarlyStopped", "severity": "Info", "message": rule.message()})


def _values(rule: EarlyStopping, progress: Progress) -> list[float]:
    """By step, lower is better."""
    if rule.metric is None:
        return [progress.scores[step] for step in sorted(progress.scores)]
    sign = 1 if rule.metric.goal == "Minimize" else -1
    found = [progress.evaluations[step].get(rule.metric.name) for step in sorted(progress.evaluations)]
    return [sign * value for value in found if value is not None]

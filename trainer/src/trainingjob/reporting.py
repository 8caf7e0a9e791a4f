"""How any trainer reports: lines of JSON, appended to a file that the agent follows.

from trainingjob import report
report(step=100, metrics={"train/loss": 1.2})
report(step=100, metrics={"eval/loss": 1.4}, evaluation=True)
"""

import json
import math
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

EVENTS_FILE = "TRAININGJOB_EVENTS"
STOP_FILE = "TRAININGJOB_STOP"

_MOST_METRICS = 64
_newest: tuple[int, float] | None = None
_stop_requested = False


def report(
    step: int,
    metrics: Mapping[str, float],
    *,
    evaluation: bool = False,
    epoch: float | None = None,
    total_steps: int | None = None,
) -> None:
    """Reports metrics of a step; zero is a value, and a number that is not finite is shown as such, never lost.

    Args:
        step: Steps done so far, from 0.
        metrics: Values by name, such as `train/loss`, `eval/loss`, `eval/accuracy`; at most 64.
        evaluation: These are the results of an evaluation. It is scored with `eval/loss` and the newest `train/loss`
            that was reported at or before this step.
        epoch: Passes over the data, where that means something.
        total_steps: Steps of the whole run, as far as they are known.

    Raises:
        ValueError: for a step below 0, too many metrics, or a name that is no metric's name.
    """
    global _newest
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise ValueError(f"step must be a whole number of at least 0, not {step!r}")
    if len(metrics) > _MOST_METRICS:
        raise ValueError(f"{len(metrics)} metrics are too many; report at most {_MOST_METRICS}")
    values = {name: float(value) for name, value in metrics.items()}
    train_loss = values.get("train/loss")
    if train_loss is not None and math.isfinite(train_loss) and (_newest is None or step >= _newest[0]):
        _newest = (step, train_loss)
    if total_steps is not None:
        emit({"type": "totals", "totalSteps": total_steps})
    common: dict[str, Any] = {"step": step} | ({} if epoch is None else {"epoch": epoch})
    if not evaluation:
        emit({"type": "point", **common, **encoded(values)})
        return
    eval_loss = values.pop("eval/loss", None)
    newest = _newest if _newest is not None and _newest[0] <= step else None
    rest = encoded(values)
    if eval_loss is not None and not math.isfinite(eval_loss):
        rest.setdefault("nonFinite", []).append("eval/loss")
        eval_loss = None
    emit(
        {
            "type": "evaluation",
            **common,
            "evalLoss": eval_loss,
            "trainLoss": None if newest is None else newest[1],
            "trainLossStep": None if newest is None else newest[0],
            **rest,
        }
    )


def should_stop() -> bool:
    """Whether the run was asked to stop: store a checkpoint and end, with exit code 130."""
    path = os.environ.get(STOP_FILE, "")
    return _stop_requested or (path != "" and Path(path).exists())


def request_stop() -> None:
    """Asks this process's run to stop, as a signal handler does."""
    global _stop_requested
    _stop_requested = True


def encoded(metrics: Mapping[str, float]) -> dict[str, Any]:
    """Metrics as they travel: a number that is not finite becomes null and is named in `nonFinite`."""
    wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
    values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    return {"metrics": values} | ({"nonFinite": wrong} if wrong else {})


def emit(event: Mapping[str, Any]) -> None:
    """Hands one event to the agent: one line, one write, so that processes of one run can share the file.

    Without an agent the event is shown on the terminal.
    """
    line = json.dumps({**event, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}, allow_nan=False)
    path = os.environ.get(EVENTS_FILE, "")
    if path == "":
        sys.stderr.write(f"{line}\n")
        return
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)

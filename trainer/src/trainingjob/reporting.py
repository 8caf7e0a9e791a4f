"""How any trainer reports: lines of JSON, appended to a file that the agent follows.

from trainingjob import report
report(step=100, metrics={"train/loss": 1.2})
report(step=100, metrics={"eval/loss": 1.4}, evaluation=True)
"""

import json
import math
import operator
import os
import re
import sys
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, SupportsFloat, SupportsIndex

EVENTS_FILE = "TRAININGJOB_EVENTS"
STOP_FILE = "TRAININGJOB_STOP"
CHECKPOINT_FILE = "TRAININGJOB_CHECKPOINT"
# What the job says of evaluations, checkpoints and scoring, as members of a configuration.
RULES = "TRAININGJOB_RULES"
LEARNING_RATE_FILE = "TRAININGJOB_LEARNING_RATE"
ACKNOWLEDGED_FILE = "TRAININGJOB_ACKNOWLEDGED"

MOST_METRICS = 64
METRIC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,63}")

# Newest last. An evaluation may be of a step that training has passed by, so more than one is kept.
_train_losses: deque[tuple[int, float]] = deque(maxlen=256)
_stop_requested = False
_silent = False
_newest_checkpoint_request = ""


def report(
    step: SupportsIndex,
    metrics: Mapping[str, SupportsFloat],
    *,
    evaluation: bool = False,
    epoch: SupportsFloat | None = None,
    total_steps: SupportsIndex | None = None,
) -> None:
    """Reports metrics of a step; zero is a value, and a number that is not finite is shown as such, never lost.

    Args:
        step: Steps done so far, from 0. Numbers of NumPy and other libraries are numbers here and below.
        metrics: Values by name, such as `train/loss`, `eval/loss`, `eval/accuracy`; at most 64.
        evaluation: These are the results of an evaluation. It is scored with `eval/loss` and the newest `train/loss`
            that was reported at or before this step.
        epoch: Passes over the data, where that means something.
        total_steps: Steps of the whole run, as far as they are known.

    Raises:
        ValueError: for a step below 0, too many metrics, a name that is no metric's name, or what is no number.
    """
    step = _count("step", step)
    if len(metrics) > MOST_METRICS:
        raise ValueError(f"{len(metrics)} metrics are too many; report at most {MOST_METRICS}")
    values = {_metric_name(name): _metric(name, value) for name, value in metrics.items()}
    train_loss = values.get("train/loss")
    if train_loss is not None and math.isfinite(train_loss):
        _train_losses.append((step, train_loss))
    if total_steps is not None:
        emit({"type": "totals", "totalSteps": _count("total_steps", total_steps)})
    common: dict[str, Any] = {"step": step}
    if epoch is not None:
        common["epoch"] = float(epoch) if math.isfinite(epoch) else None
    if not evaluation:
        emit({"type": "point", **common, **encoded(values)})
        return
    eval_loss = values.pop("eval/loss", None)
    newest = newest_train_loss(step)
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


def newest_train_loss(step: int) -> tuple[int, float] | None:
    """The train loss of the highest step up to this one; of two reports of one step the later."""
    before = [entry for entry in _train_losses if entry[0] <= step]
    return max(reversed(before), key=lambda entry: entry[0], default=None)


def _count(name: str, value: SupportsIndex) -> int:
    """Whole numbers of any library; a truth value is none."""
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"{name} must be a whole number of at least 0, not {value!r}")
    return number


def _metric_name(name: str) -> str:
    if not isinstance(name, str) or not METRIC_NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a metric; begin with a letter, go on with letters, digits, '_', '.', '/' and '-', "
            "64 characters at most"
        )
    return name


def _metric(name: str, value: SupportsFloat) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f'metric "{name}" must be a number, not {value!r}') from None


def should_stop() -> bool:
    """Whether the run was asked to stop: store a checkpoint and end, with exit code 130."""
    path = os.environ.get(STOP_FILE, "")
    return _stop_requested or (path != "" and Path(path).exists())


def checkpoint_requested() -> bool:
    """Whether a checkpoint of the current step is wanted at once; true once for each request."""
    global _newest_checkpoint_request
    try:
        request = Path(os.environ.get(CHECKPOINT_FILE, "")).read_text()
    except OSError:
        return False
    if request in ("", _newest_checkpoint_request):
        return False
    _newest_checkpoint_request = request
    return True


def wanted_learning_rate() -> float | None:
    """The learning rate that was asked for last, while the run goes on; None when none was."""
    try:
        return float(Path(os.environ.get(LEARNING_RATE_FILE, "")).read_text())
    except (OSError, ValueError):
        return None


def is_followed() -> bool:
    """Whether an agent hands on what is reported, and says what of it the operator has."""
    return os.environ.get(ACKNOWLEDGED_FILE, "") != ""


def acknowledged_checkpoint() -> str | None:
    """The sum of the manifest of that checkpoint, of those of which the operator has the report, that was reported last; None when it
    has none of this process."""
    try:
        return Path(os.environ.get(ACKNOWLEDGED_FILE, "")).read_text()
    except OSError:
        return None


def request_stop() -> None:
    """Asks this process's run to stop, as a signal handler does."""
    global _stop_requested
    _stop_requested = True


def silence() -> None:
    """Reports nothing more from this process, which is one of several that do the same."""
    global _silent
    _silent = True


def encoded(metrics: Mapping[str, float]) -> dict[str, Any]:
    """Metrics as they travel: a number that is not finite becomes null and is named in `nonFinite`."""
    wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
    values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    return {"metrics": values} | ({"nonFinite": wrong} if wrong else {})


def emit(event: Mapping[str, Any]) -> None:
    """Hands one event to the agent: one line, one write, so that processes of one run can share the file.

    Without an agent the event is shown on the terminal.
    """
    if _silent:
        return
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

"""What a trainer may report, member by member. The agent reports the beginning and the end of a run itself."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainingjob.fields import nearest, shown
from trainingjob.reporting import METRIC_NAME, MOST_METRICS
from trainingjob.resuming import MOST_CHECKPOINTS

Event = dict[str, Any]

STAGES = (
    "Starting",
    "Downloading",
    "Loading",
    "Tokenizing",
    "Training",
    "Evaluating",
    "Checkpointing",
    "Merging",
    "Uploading",
)
_SEVERITIES = ("Info", "Warning", "Error")
_MOST_STEP = 2**53 - 1
_MOST_TEXT = 4096
_MOST_LINES = 200
_MOST_PARAMETERS = 64
_MOST_LINE = 1024
# What the members of an evaluation are called among metrics.
_NAMES = {"epoch": "epoch", "evalLoss": "eval/loss", "trainLoss": "train/loss"}
_OUTPUT = {"uri", "manifestSHA256"}
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class _Member:
    fits: Callable[[Any], bool]
    wanted: str
    required: bool = True


def _optional(member: _Member) -> _Member:
    return _Member(member.fits, member.wanted, required=False)


def _one_of(names: tuple[str, ...]) -> _Member:
    return _Member(lambda value: value in names, f"one of {', '.join(names)}")


def _text(most: int) -> _Member:
    return _Member(lambda value: isinstance(value, str) and len(value) <= most, f"a text of at most {most} characters")


def _texts(most: int, length: int) -> _Member:
    def fits(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) <= most
            and all(isinstance(entry, str) and len(entry) <= length for entry in value)
        )

    return _Member(fits, f"a list of at most {most} texts of at most {length} characters")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MOST_TEXT


def _is_step(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_STEP


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1.7e308


def _is_metrics(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= MOST_METRICS
        and all(METRIC_NAME.fullmatch(name) and (entry is None or _is_number(entry)) for name, entry in value.items())
    )


def _is_output(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _OUTPUT <= set(value) <= _OUTPUT | {"huggingFaceRevision", "huggingFaceURL"}
        and _uri.fits(value["uri"])
        and _sha256.fits(value["manifestSHA256"])
        and _text(64).fits(value.get("huggingFaceRevision", ""))
        and _uri.fits(value.get("huggingFaceURL", ""))
    )


_step = _Member(_is_step, "a whole number of at least 0")
_number_or_null = _Member(lambda value: value is None or _is_number(value), "a finite number or null")
_epoch = _optional(_number_or_null)
_metrics = _Member(
    _is_metrics,
    f"an object of at most {MOST_METRICS} numbers, named with letters, digits, '_', '.', '/' and '-' like train/loss",
)
_bool = _Member(lambda value: isinstance(value, bool), "true or false")
_uri = _text(2048)
_sha256 = _Member(lambda value: isinstance(value, str) and _SHA256.fullmatch(value) is not None, "a SHA-256 sum in hex")
_non_finite = _Member(
    lambda value: isinstance(value, list) and len(value) <= MOST_METRICS and all(map(_is_metric_name, value)),
    "a list of names of metrics",
    required=False,
)


def _is_rejected(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MOST_CHECKPOINTS
        and all(
            isinstance(entry, dict)
            and set(entry) == {"uri", "reason"}
            and _uri.fits(entry["uri"])
            and _text(_MOST_TEXT).fits(entry["reason"])
            for entry in value
        )
    )


_rejected = _Member(_is_rejected, f"a list of at most {MOST_CHECKPOINTS} objects of uri and reason")


def _is_metric_name(value: Any) -> bool:
    return isinstance(value, str) and METRIC_NAME.fullmatch(value) is not None


def _is_parameters(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= _MOST_PARAMETERS
        and all(_text(64).fits(name) and _text(64).fits(entry) for name, entry in value.items())
    )


_parameters = _Member(_is_parameters, f"an object of at most {_MOST_PARAMETERS} texts of at most 64 characters")

_MEMBERS: dict[str, dict[str, _Member]] = {
    "stage": {"stage": _one_of(STAGES), "detail": _optional(_text(_MOST_TEXT))},
    "totals": {
        "totalSteps": _step,
        "evaluationEverySteps": _optional(_step),
        "requestedEvaluationEverySteps": _optional(_step),
        "checkpointEverySteps": _optional(_step),
        "processes": _optional(_step),
        "samplesPerStep": _optional(_step),
        "notes": _optional(_texts(20, _MOST_TEXT)),
    },
    "dataset": {
        "samples": _optional(_step),
        "trainSamples": _optional(_step),
        "evalSamples": _step,
        "tokens": _optional(_step),
        "trainedTokens": _optional(_step),
        "rows": _optional(_step),
        "columns": _optional(_step),
        "sha256": _sha256,
        "revision": _optional(_text(128)),
    },
    "point": {"step": _step, "epoch": _epoch, "metrics": _metrics, "nonFinite": _non_finite},
    "evaluation": {
        "step": _step,
        "epoch": _epoch,
        "evalLoss": _number_or_null,
        "trainLoss": _number_or_null,
        "trainLossStep": _Member(lambda value: value is None or _is_step(value), f"{_step.wanted} or null"),
        "metrics": _metrics,
        "nonFinite": _non_finite,
    },
    "prediction": {
        "step": _step,
        "sample": _step,
        "row": _optional(_step),
        "prompt": _text(_MOST_TEXT),
        "expected": _Member(lambda value: value is None or _is_text(value), f"{_text(_MOST_TEXT).wanted}, or null"),
        "generated": _text(_MOST_TEXT),
        "promptTokens": _optional(_step),
        "generatedTokens": _optional(_step),
        "finishReason": _optional(_one_of(("stop", "length"))),
        "scores": _metrics,
        "problem": _optional(_text(_MOST_TEXT)),
    },
    "checkpoint": {
        "step": _step,
        "uri": _uri,
        "manifestSHA256": _sha256,
        "verified": _bool,
        "removed": _optional(_bool),
    },
    "resumed": {
        "step": _step,
        "uri": _Member(lambda value: value is None or _uri.fits(value), f"{_uri.wanted} or null"),
        "rejected": _rejected,
    },
    "search": {
        "trials": _step,
        "complete": _step,
        "pruned": _step,
        "failed": _step,
        "bestTrial": _optional(_step),
        "bestParameters": _optional(_parameters),
    },
    "alert": {"name": _text(64), "severity": _one_of(_SEVERITIES), "message": _text(_MOST_TEXT)},
    "log": {"lines": _texts(_MOST_LINES, _MOST_LINE)},
    # These two stay with the agent; they go into its final report.
    "result": {
        "bestStep": _optional(_step),
        "output": _Member(
            _is_output,
            "an object of uri and manifestSHA256, and where it was published huggingFaceRevision and huggingFaceURL",
            required=False,
        ),
        "metrics": _optional(_metrics),
    },
    "failure": {"message": _Member(lambda value: isinstance(value, str), "a text")},
}


class NotReportable(ValueError):
    """A line of a trainer that is no event, or none that a trainer may report; the text says what is wrong with it."""


def parse_event(line: bytes) -> Event:
    """One line of the events file as an event that the operator takes.

    Metrics that are not finite, which some writers of JSON give as NaN, become null and are named in `nonFinite`.

    Raises:
        NotReportable: for anything else than an event that a trainer may report.
    """
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise NotReportable(f"the trainer reported what is no event: {line[:200].decode(errors='replace')}")
    return _checked(event, event["type"])


def _checked(event: Event, kind: str) -> Event:
    if kind not in _MEMBERS:
        raise NotReportable(
            f'the trainer reported an event of type "{kind[:64]}", which a trainer cannot report.'
            f"{nearest(kind[:64], _MEMBERS)} It can report: {', '.join(_MEMBERS)}"
        )
    if kind in ("point", "evaluation"):
        event = _finite(event)
    members = {**_MEMBERS[kind], "type": _text(64), "time": _optional(_text(64))}
    for name, member in members.items():
        if name in event:
            if not member.fits(event[name]):
                raise NotReportable(f"{kind}.{name}: must be {member.wanted}, not {shown(event[name])}")
        elif member.required:
            raise NotReportable(f"{kind}.{name}: is missing; write {member.wanted}")
    unknown = next((name for name in event if name not in members), None)
    if unknown is not None:
        raise NotReportable(
            f"{kind}.{unknown[:64]}: is not known.{nearest(unknown[:64], members)} Known here: {', '.join(members)}"
        )
    return event


def _finite(event: Event) -> Event:
    """Numbers of JSON's dialects that are not finite as the protocol has them."""
    metrics, named = event.get("metrics"), event.get("nonFinite", [])
    wrong = [name for name in ("epoch", "evalLoss", "trainLoss") if _is_not_finite(event.get(name))]
    lost = [_NAMES[name] for name in wrong]
    if not isinstance(metrics, dict) or not isinstance(named, list):
        return event
    lost += [name for name, value in metrics.items() if _is_not_finite(value)]
    if not lost:
        return event
    plain = {name: None if _is_not_finite(value) else value for name, value in metrics.items()}
    return {**event, **dict.fromkeys(wrong), "metrics": plain, "nonFinite": [*named, *lost]}


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)

"""For how long an answer of the operator lets the pod live."""

import math
from dataclasses import dataclass
from typing import Any, TypeGuard


@dataclass(frozen=True)
class Lease:
    """Seconds from the receipt of the answer: until the operator counts as silent, and until the pod must end (None: never)."""

    remaining: float
    ends_in: float | None


def parse_lease(value: Any) -> Lease | None:
    """The lease of an answer; None when the answer says nothing of it that can be understood, and then nothing changes."""
    if not isinstance(value, dict):
        return None
    remaining, ends_in = value.get("remainingSeconds"), value.get("endsInSeconds")
    if not _is_duration(remaining) or not (ends_in is None or _is_duration(ends_in)):
        return None
    return Lease(remaining=float(remaining), ends_in=None if ends_in is None else float(ends_in))


def _is_duration(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)

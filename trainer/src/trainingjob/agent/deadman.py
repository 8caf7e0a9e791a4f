"""The pod's own clock: when the operator is silent for too long, or the pod's time is up, the training ends without being told."""

import math
import threading
import time
from collections.abc import Callable

from trainingjob.agent.lease import Lease

DEAD_MAN, HARD_END = "DeadMan", "HardEnd"

_LONGEST_WAIT_SECONDS = 3600.0


class DeadMan:
    """A thread that calls `on_expiry` once, with the reason. Counts on the monotonic clock: nobody sets it back."""

    def __init__(self, dead_man: float | None, hard_end: float | None, on_expiry: Callable[[str], None]) -> None:
        now = time.monotonic()
        self._silent_at = None if dead_man is None else now + dead_man
        self._ends_at = None if hard_end is None else now + hard_end
        self._on_expiry = on_expiry
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._watch, name="dead-man", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def extend(self, lease: Lease) -> None:
        """The operator's word, counted from now; it moves both ends both ways."""
        now = time.monotonic()
        with self._changed:
            self._silent_at = now + lease.remaining
            self._ends_at = None if lease.ends_in is None else now + lease.ends_in
            self._changed.notify_all()

    def _watch(self) -> None:
        with self._changed:
            while (reason := self._expired()) is None:
                ends = [end for end in (self._silent_at, self._ends_at) if end is not None]
                left = min(ends, default=math.inf) - time.monotonic()
                # A wait has a greatest length; this one is looked at again before.
                self._changed.wait(min(left, _LONGEST_WAIT_SECONDS))
        self._on_expiry(reason)

    def _expired(self) -> str | None:
        now = time.monotonic()
        if self._ends_at is not None and now >= self._ends_at:
            return HARD_END
        return DEAD_MAN if self._silent_at is not None and now >= self._silent_at else None

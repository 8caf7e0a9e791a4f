"""Waits between tries."""

import random

_MOST_ASKED_FOR = 60.0


class Backoff:
    """Doubles from `least` to `most` seconds, with a random quarter, so that pods do not come back all at once."""

    def __init__(self, least: float = 0.5, most: float = 15) -> None:
        self._least, self._most, self._failures = least, most, 0

    def next(self, asked_for: float | None = None) -> float:
        """Seconds to wait now; at least what the server asked for, up to a minute, or a pod would be silent for too long."""
        wait: float = min(self._most, self._least * 2.0 ** min(self._failures, 20)) * (0.75 + random.random() / 4)
        self._failures += 1
        return max(wait, min(asked_for or 0.0, _MOST_ASKED_FOR))

    def reset(self) -> None:
        """The last try succeeded."""
        self._failures = 0

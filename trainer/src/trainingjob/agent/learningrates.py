"""Learning rates that the operator asks for while the trainer trains."""

import math
from typing import Any

from trainingjob.fields import shown

_MOST = 10.0


class LearningRates:
    """Each command counts once, by its id, however often it is repeated. `newest` is the rate that is wanted; None: the job's own."""

    def __init__(self) -> None:
        self.newest: float | None = None
        self._seen: set[str] = set()

    def take(self, command: dict[str, Any]) -> str | None:
        """Takes a command `learningRate`, whose member of that name is a decimal text.

        Returns:
            Why it is not obeyed, or None.
        """
        request: Any = command.get("id")
        value: Any = command.get("learningRate")
        if not isinstance(request, str) or request in self._seen:
            return None
        self._seen.add(request)
        try:
            rate = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            rate = math.nan
        if not 0 < rate <= _MOST:
            return f"command {request[:64]}: learningRate must be a number above 0 and at most 10, not {shown(value)}"
        self.newest = rate
        return None

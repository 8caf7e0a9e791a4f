"""The newest train losses; for the trend only, never for a score."""

import math
from collections import deque
from typing import Literal

Trend = Literal["improving", "degrading", "stable", "insufficient_data"]

WINDOW_SIZE = 10
_LEAST_VALUES = 3
_THRESHOLD = 0.01


class LossWindow:
    """The last ten finite train losses, oldest first."""

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=WINDOW_SIZE)

    @property
    def losses(self) -> list[float]:
        return list(self._losses)

    def push(self, loss: float | None) -> None:
        """Takes a loss; one that is absent or not finite changes nothing."""
        if loss is not None and math.isfinite(loss):
            self._losses.append(loss)

    def trend(self) -> Trend:
        """Compares the means of the two halves; the second has the middle value of an odd count."""
        losses = self.losses
        if len(losses) < _LEAST_VALUES:
            return "insufficient_data"
        half = len(losses) // 2
        drop = sum(losses[:half]) / half - sum(losses[half:]) / (len(losses) - half)
        if drop > _THRESHOLD:
            return "improving"
        return "degrading" if drop < -_THRESHOLD else "stable"

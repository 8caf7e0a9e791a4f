"""How far a model is trained before it is looked at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Of a model of `steps` rounds, which is evaluated every `every` of them; `wanted` is what was asked for."""

    steps: int
    wanted: int
    segmented: bool

    @property
    def every(self) -> int:
        return min(self.wanted, self.steps)

    @property
    def log_every(self) -> int:
        return max(1, self.every // 4)

    def next(self, step: int) -> int:
        """Up to which round to train before anything else is looked at."""
        if not self.segmented:
            return step + 1
        # At the same rounds in every attempt, wherever this one began.
        marks = (step // width * width + width for width in (self.every, self.log_every))
        return min(self.steps, *marks)

    def evaluates(self, step: int) -> bool:
        """Whether a round is one of evaluation; the last one is."""
        return step == self.steps or step % self.every == 0


def pace_of(steps: int, wanted: int | None, *, segmented: bool) -> Pace:
    """Without a wish, ten evaluations."""
    return Pace(steps, max(1, steps // 10) if wanted is None else wanted, segmented)

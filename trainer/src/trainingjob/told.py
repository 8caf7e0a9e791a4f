"""What the operator was told of a run's checkpoints, and what it may count on because of that.

A pod may be lost at any moment, and the next attempt is offered what the operator knew then: so what it knows stands until it is
known to know what takes its place (promise 2). Storage holds no more for it, however long the operator is away: the next checkpoint
is told when it has answered for the last.
"""

from collections.abc import Callable

from trainingjob import reporting


class Told:
    """Tells of checkpoints through `report`, which gets a step and its manifest's sum. `before`: steps that the operator may know
    from earlier attempts."""

    def __init__(self, before: set[int], report: Callable[[int, str], None]) -> None:
        self._before, self._report = before, report
        self._steps = set(before)
        # One entry for each time of telling that may be the newest of which the operator knows: the sum that was told last, and
        # what the run needs as of then.
        self._open: list[tuple[str, set[int]]] = []

    def __contains__(self, step: int) -> bool:
        return step in self._steps

    def forget(self, step: int) -> None:
        """The checkpoint of a step is another now, or none."""
        self._steps.discard(step)

    def is_answered(self) -> bool:
        """Whether the operator has all that it was told; without an agent nobody answers, and nothing is waited for."""
        if not reporting.is_followed():
            return True
        self._read()
        return not self._open or (len(self._open) == 1 and self._open[0][0] == reporting.acknowledged_checkpoint())

    def tell(self, needed: dict[int, str]) -> None:
        """Tells of those checkpoints, by step with their sums, that the run needs now and that were not told."""
        new = sorted(set(needed) - self._steps)
        for step in new:
            self._report(step, needed[step])
        if new:
            self._steps |= set(new)
            self._open.append((needed[new[-1]], set(needed)))

    def counted_on(self) -> set[int]:
        """Steps whose checkpoints the operator may offer to the next attempt, or name as the best."""
        if not reporting.is_followed():
            return set()
        self._read()
        return self._before.union(*(needed for _, needed in self._open))

    def _read(self) -> None:
        answered = reporting.acknowledged_checkpoint()
        last = max((index for index, (sha, _) in enumerate(self._open) if sha == answered), default=None)
        if last is not None:
            self._before, self._open = set(), self._open[last:]

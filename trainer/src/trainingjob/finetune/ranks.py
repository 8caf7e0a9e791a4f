"""The processes that train together, one for each GPU: which of them this is, and how they come to do the same."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState

from trainingjob.rank import launched

# The first prepares data and stores checkpoints for as long as that takes; whether anything moves, the operator watches.
_PATIENCE = timedelta(days=7)


class Ranks:
    """`index` is this process's, from 0; `count` how many there are. What they say to each other goes over the processor's memory and
    never waits for a GPU; each call is made by all of them, in the same order. One process alone agrees with itself."""

    def __init__(self) -> None:
        self.index, self.count, self._group = 0, 1, None
        if launched():
            # Parts of a model are put together in the processor's memory, which NCCL alone cannot reach.
            if torch.cuda.is_available():
                PartialState(backend="cuda:nccl,cpu:gloo")
            else:
                PartialState(cpu=True)
            self.index, self.count = dist.get_rank(), dist.get_world_size()
            self._group = dist.new_group(backend="gloo", timeout=_PATIENCE)

    @property
    def together(self) -> bool:
        """Whether torchrun started this process, be it the only one."""
        return self._group is not None

    @property
    def first(self) -> bool:
        """Whether this is the one that reports, prints, stores and publishes."""
        return self.index == 0

    def shared(self, make: Callable[[], Any]) -> Any:
        """What the first makes, which must be picklable; the others get a copy."""
        made = [make() if self.first else None]
        if self._group is not None:
            dist.broadcast_object_list(made, src=0, group=self._group)
        return made[0]

    def agreed(self, values: Sequence[float]) -> list[float]:
        """The numbers of the first."""
        if self._group is None:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(numbers, src=0, group=self._group)
        return [float(number) for number in numbers]

    def most(self, values: Sequence[float]) -> list[float]:
        """The highest of each number."""
        if self._group is None or not values:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(numbers, dist.ReduceOp.MAX, group=self._group)
        return [float(number) for number in numbers]

    def wait(self) -> None:
        """Returns when all have come here."""
        self.most([0.0])

    def leave(self) -> None:
        """Trains no more with the others: from here on, each goes its own way."""
        if self._group is not None:
            self._group, self.count = None, 1
            dist.destroy_process_group()

    @contextmanager
    def folder(self, prefix: str) -> Iterator[Path]:
        """A folder of all of them, which is gone when the first leaves it."""
        made = tempfile.mkdtemp(prefix=prefix) if self.first else None
        shared = Path(self.shared(lambda: made))
        try:
            yield shared
        finally:
            if self.first:
                shutil.rmtree(shared, ignore_errors=True)

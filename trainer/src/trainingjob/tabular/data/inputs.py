"""Rows as a model takes them: a matrix in memory, or one on disk that is read a part at a time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainingjob.tabular.data.column import Floats

_CHUNK_NUMBERS = 2**21
_LEAST_CHUNK_ROWS = 1024
_NUMBER_BYTES = 8


class StoredMatrix:
    """(rows, columns) in a file, row by row; written once and then read. Its numbers are those of a matrix in memory."""

    def __init__(self, path: Path, width: int) -> None:
        self._path, self._width, self._rows = path, width, 0

    @property
    def shape(self) -> tuple[int, int]:
        return self._rows, self._width

    def __len__(self) -> int:
        return self._rows

    def append(self, x: Floats) -> None:
        """Adds rows, (rows, columns)."""
        with self._path.open("ab") as file:
            np.ascontiguousarray(x, dtype=np.float64).tofile(file)
        self._rows += len(x)

    def rows(self, start: int, stop: int) -> Floats:
        """Rows from `start` up to `stop`, read into memory of their own: pages of a mapped file would count as the process's."""
        count = max(0, min(stop, self._rows) - start)
        found = np.fromfile(self._path, np.float64, count * self._width, offset=start * self._width * _NUMBER_BYTES)
        return found.reshape(count, self._width)


Inputs = Floats | StoredMatrix


def chunk_rows(width: int) -> int:
    """How many rows make a chunk; the width alone decides, so that a table in memory and one on disk are cut alike."""
    return max(_LEAST_CHUNK_ROWS, _CHUNK_NUMBERS // max(1, width))


def chunks(x: Inputs) -> Iterator[tuple[int, Floats]]:
    """Parts of the rows in their order, each with the place at which it begins."""
    size = chunk_rows(x.shape[1])
    for start in range(0, len(x), size):
        yield start, x.rows(start, start + size) if isinstance(x, StoredMatrix) else x[start : start + size]


def whole(x: Inputs) -> Floats:
    """All rows in memory, for families that need them so."""
    return x.rows(0, len(x)) if isinstance(x, StoredMatrix) else x

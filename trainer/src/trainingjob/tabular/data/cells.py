"""A file as cells: a header and, chunk by chunk, the cells of each column. No more than one chunk is in memory as text."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

CHUNK_ROWS = 10_000


@dataclass(frozen=True)
class Chunk:
    """`column` gives the cells of a column by its place in the header: texts (empty where a value is missing), or an array of
    numbers, truth values or datetimes where the file has types. `rows` says where each row is in the file."""

    column: Callable[[int], Any]
    rows: Sequence[int]


@dataclass(frozen=True)
class Cells:
    """`place` is what a row is called in messages: the line of a text file, the row of another. `estimated_rows` is known before
    they are read."""

    header: list[str]
    chunks: Iterator[Chunk]
    place: str
    estimated_rows: int

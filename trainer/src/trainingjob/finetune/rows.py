"""Rows of a file: JSON, JSON lines, CSV or Parquet, the first three also packed with gzip."""

import csv
import gzip
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from trainingjob.datafile import bad_data

Row = dict[str, Any]

_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"


def read_rows(path: Path, source: str, most: int | None = None) -> list[Row]:
    """Reads the rows of a file; what it is, its first bytes and its name tell.

    Args:
        path: Where the file is.
        source: What the user calls it.
        most: How many rows to take from its beginning; None takes all.

    Raises:
        TrainingError: exit code 3, naming the row or line that is wrong and what was expected.
    """
    return list(itertools.islice(rows_of(path, source), most))


def rows_of(path: Path, source: str, *, whole: bool = True) -> Iterator[Row]:
    """The rows of a file one by one; at least one. A JSON array is read at once, and refused where not `whole`.

    Raises:
        TrainingError: as `read_rows`, when it comes to the row.
    """
    rows = _rows(path, source, whole=whole)
    try:
        first = next(rows, None)
        if first is None:
            raise bad_data(f"{source} has no rows; add some")
        yield first
        yield from rows
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise bad_data(
            f"{source} cannot be read: {error}; save it in UTF-8, and pack it again if it is packed"
        ) from error


def _rows(path: Path, source: str, *, whole: bool) -> Iterator[Row]:
    with path.open("rb") as file:
        head = file.read(4)
    if head == _PARQUET:
        yield from _parquet(path, source)
        return
    name = source.lower().removesuffix(".gz")
    opened = gzip.open if head.startswith(_GZIP) else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as text:
        if name.endswith((".csv", ".tsv")):
            yield from _csv(text, source, "\t" if name.endswith(".tsv") else ",")
        elif _first_character(text) == "[":
            if not whole:
                raise bad_data(
                    f"{source} is one JSON array, which cannot be read row by row; write one JSON object in each line, or leave "
                    "trainer.fineTune.dataset.streaming out"
                )
            yield from _json(text, source)
        else:
            yield from _lines(text, source)


def _first_character(text: IO[str]) -> str:
    start = ""
    while not start.strip() and (piece := text.read(1024)):
        start += piece
    text.seek(0)
    return start.lstrip("\ufeff \t\r\n")[:1]


def _json(text: IO[str], source: str) -> Iterator[Row]:
    try:
        value = json.load(text, parse_constant=_no_number)
    except ValueError as error:
        raise bad_data(f"{source} is not JSON: {error}") from error
    for index, row in enumerate(value, 1):
        yield _object(row, f"{source} row {index}")


def _lines(text: IO[str], source: str) -> Iterator[Row]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        where = f"{source} line {number}"
        try:
            row = json.loads(line, parse_constant=_no_number)
        except ValueError as error:
            raise bad_data(f"{where} is not JSON: {error}; write one JSON object in each line") from error
        yield _object(row, where)


def _csv(text: IO[str], source: str, delimiter: str) -> Iterator[Row]:
    try:
        reader = csv.DictReader(text, delimiter=delimiter, strict=True)
        for row in reader:
            if None in row or None in row.values():
                raise bad_data(
                    f"{source} line {reader.line_num} has another number of cells than the header; quote cells that contain {delimiter!r}"
                )
            yield dict(row)
    except csv.Error as error:
        raise bad_data(f"{source} cannot be read as CSV: {error}") from error


def _parquet(path: Path, source: str) -> Iterator[Row]:
    # Imported here: whoever reads text needs no Arrow.
    import pyarrow
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise bad_data(f"{source} cannot be read as Parquet: {error}") from error


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise bad_data(f'{where} is {type(value).__name__}; each row must be an object, such as {{"text": "..."}}')
    return value


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON; write null or leave the member out")

"""CSV files; delimiter and encoding are found out."""

import csv
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from charset_normalizer import from_bytes

from trainingjob.datafile import bad_data
from trainingjob.tabular.data.cells import CHUNK_ROWS, Cells, Chunk

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_BYTES = 1024 * 1024
_SAMPLE_ROWS = 50
# Far beyond any text, and few enough to be in memory: a quote that is never closed makes one cell of all that follows.
_MOST_CELL = 2**24
csv.field_size_limit(_MOST_CELL)
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@contextmanager
def csv_cells(path: Path, source: str) -> Iterator[Cells]:
    """Opens a file with a header line. Raises TrainingError with exit code 3, which may come as late as a chunk is taken."""
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    encoding = _encoding(sample, source)
    rows = round(sample.count(b"\n") * path.stat().st_size / max(1, len(sample)))
    try:
        with path.open(newline="", encoding=encoding) as file:
            delimiter = _delimiter(file)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            header = next(reader, None)
            if not header or not any(name.strip() for name in header):
                raise bad_data(f"{source} is empty; it needs a line of column names and then one line for each row")
            yield Cells([name.strip() for name in header], _chunks(reader, len(header), source), "line", rows)
    except UnicodeError as error:
        raise bad_data(
            f"{source} cannot be read as CSV in {encoding}, which its beginning looks like: {error}; save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise bad_data(
            f"{source} cannot be read as CSV: {error}; close every quote, quote cells that contain quotes or line breaks, and keep "
            f"cells below {_MOST_CELL} characters"
        ) from error


def _encoding(sample: bytes, source: str) -> str:
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return name
    try:
        # The sample may end within a character.
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 3:
            best = from_bytes(sample).best()
            if best is None:
                raise bad_data(
                    f"{source} is no text in an encoding that can be told; save it as CSV in UTF-8"
                ) from error
            return best.encoding
    return "utf-8"


def _delimiter(file: Any) -> str:
    """The delimiter that cuts the first rows into equally many cells, and into most; a comma where none cuts."""
    best, most = ",", 1
    for delimiter in _DELIMITERS:
        file.seek(0)
        try:
            rows = [row for row in itertools.islice(csv.reader(file, delimiter=delimiter), _SAMPLE_ROWS) if row]
        except csv.Error:
            continue
        # The header decides, and the rows must bear it out: a ragged row is named later.
        width = len(rows[0]) if rows else 0
        fitting = sum(len(row) == width for row in rows)
        if width > most and 2 * fitting > len(rows):
            best, most = delimiter, width
    return best


def _chunks(reader: Any, width: int, source: str) -> Iterator[Chunk]:
    rows: list[list[str]] = []
    lines: list[int] = []
    for cells in reader:
        if not cells:
            continue
        if len(cells) != width:
            raise bad_data(
                f"{source} line {reader.line_num} has {len(cells)} cells, the header has {width}; "
                "quote cells that contain the delimiter, and close every quote"
            )
        rows.append(cells)
        lines.append(reader.line_num)
        if len(rows) == CHUNK_ROWS:
            yield Chunk(list(zip(*rows, strict=True)).__getitem__, lines)
            rows, lines = [], []
    if rows:
        yield Chunk(list(zip(*rows, strict=True)).__getitem__, lines)

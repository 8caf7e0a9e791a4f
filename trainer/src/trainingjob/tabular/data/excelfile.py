"""Excel files: the first sheet."""

import datetime
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook

from trainingjob.datafile import bad_data
from trainingjob.tabular.data.cells import CHUNK_ROWS, Cells, Chunk


@contextmanager
def excel_cells(path: Path, source: str) -> Iterator[Cells]:
    """Opens a file whose first sheet has column names in its first row. Raises TrainingError with exit code 3."""
    try:
        with CalamineWorkbook.from_path(path) as book:
            sheet = book.get_sheet_by_index(0)
    except (CalamineError, OSError, IndexError) as error:
        raise bad_data(f"{source} cannot be read as Excel: {error}; save it again, or as CSV") from error
    # The library has unpacked the sheet; its rows become texts a chunk at a time.
    rows = sheet.iter_rows()
    (last, _), (_, left) = sheet.end or (0, 0), sheet.start or (0, 0)
    names = [_text(name).strip() for name in next(rows, [])]
    if not any(names):
        raise bad_data(f"{source} has no column names in the first row of its first sheet; write them there")
    # Empty columns on the left are counted by Excel and in messages, and left out by the library.
    yield Cells([""] * left + names, _chunks(rows, left), "row", last)


def _chunks(rows: Iterator[list[Any]], left: int) -> Iterator[Chunk]:
    filled = ((number, [""] * left + row) for number, row in enumerate(rows, 2) if any(cell != "" for cell in row))
    while part := list(itertools.islice(filled, CHUNK_ROWS)):
        columns = [[_text(cell) for cell in cells] for cells in zip(*(row for _, row in part), strict=True)]
        yield Chunk(columns.__getitem__, [number for number, _ in part])


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, (datetime.datetime, datetime.date)):
        return cell.isoformat()
    return str(cell)

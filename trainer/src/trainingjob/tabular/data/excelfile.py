"""Excel files: the first sheet."""

import datetime
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
            # Empty rows above the names would shift every row that a message names.
            rows = book.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except (CalamineError, OSError, IndexError) as error:
        raise bad_data(f"{source} cannot be read as Excel: {error}; save it again, or as CSV") from error
    if not rows or not any(str(name).strip() for name in rows[0]):
        raise bad_data(f"{source} has no column names in the first row of its first sheet; write them there")
    yield Cells([_text(name).strip() for name in rows[0]], _chunks(rows), "row", len(rows) - 1)


def _chunks(rows: list[list[Any]]) -> Iterator[Chunk]:
    filled = [(number, row) for number, row in enumerate(rows[1:], 2) if any(cell != "" for cell in row)]
    for start in range(0, len(filled), CHUNK_ROWS):
        part = filled[start : start + CHUNK_ROWS]
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

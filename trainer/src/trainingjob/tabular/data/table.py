"""A file as typed columns. Every fault of the file names the column and the row, and says what to do."""

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainingjob.datafile import DataFile, bad_data, data_file
from trainingjob.datasource import DataSource
from trainingjob.disk import no_room
from trainingjob.exitcodes import TrainingError
from trainingjob.fields import nearest
from trainingjob.tabular.data.cells import Cells
from trainingjob.tabular.data.column import Column, ColumnBuilder
from trainingjob.tabular.data.csvfile import csv_cells
from trainingjob.tabular.data.excelfile import excel_cells
from trainingjob.tabular.data.faults import listed
from trainingjob.tabular.data.kinds import Kind
from trainingjob.tabular.data.memory import in_chunks
from trainingjob.tabular.data.parquetfile import parquet_cells
from trainingjob.tabular.data.storedcolumn import StoredBuilder

_NUMBER_BYTES = 8
_EXCEL = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")


@dataclass(frozen=True)
class Selection:
    """Which columns are read. `target` is None where there is nothing to compare with, as in a file to predict for; `excluded`
    counts only without `features`. `kinds` are those that are declared; others are judged. `bytes_per_number` is the memory that is
    going to be needed for each cell; 0 asks for no check. `streams`: what does not fit may lie on disk."""

    target: str | None
    features: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    kinds: Mapping[str, Kind] | None = None
    bytes_per_number: int = 0
    streams: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of a file. `lines` says where each row is in it; `place` is what that is called. `revision` is the commit of a file at the
    Hub; `columns` are those of the file. `folder` holds the features where they are not in memory, and
    goes with the table."""

    source: str
    features: tuple[Column, ...]
    target: Column | None
    lines: npt.NDArray[np.int64]
    place: str
    sha256: str
    revision: str | None
    columns: int
    folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def rows(self) -> int:
        return len(self.lines)

    def where(self, row: int) -> str:
        """Where a row is in its file, for messages."""
        return f"{self.source} {self.place} {self.lines[row]}"


def read_table(data: DataSource, selection: Selection) -> Table:
    """Reads a CSV, Parquet or Excel file; its ending says which.

    Raises:
        TrainingError: exit code 3, when the file is missing or empty, lacks a column, or has cells that cannot be used; exit
            code 6, when storage does not answer, which may pass.
    """
    with data_file(data) as file, _cells(file.path, data.source) as cells:
        return _read(file, data.source, cells, selection)


def _cells(path: Path, source: str) -> AbstractContextManager[Cells]:
    ending = Path(source).suffix.lower()
    if ending in (".parquet", ".pq"):
        return parquet_cells(path, source)
    return excel_cells(path, source) if ending in _EXCEL else csv_cells(path, source)


def _read(file: DataFile, source: str, cells: Cells, selection: Selection) -> Table:
    used = _columns(source, cells.header, selection)
    names = used if selection.target is None else (*used, selection.target)
    kinds = selection.kinds or {}
    folder = _folder(source, cells.estimated_rows, len(names), selection)

    def builder(name: str, place: int) -> ColumnBuilder:
        def where(row: int) -> str:
            return f'{source} {cells.place} {row}, {"target column" if name == selection.target else "column"} "{name}"'

        if folder is None or name == selection.target:
            return ColumnBuilder(name, where, kinds.get(name))
        return StoredBuilder(name, where, kinds.get(name), Path(folder.name) / f"{place}.column")

    builders = {name: builder(name, place) for place, name in enumerate(names)}
    places = {name: cells.header.index(name) for name in names}
    lines: list[npt.NDArray[np.int64]] = []
    for chunk in cells.chunks:
        lines.append(np.asarray(chunk.rows, dtype=np.int64))
        for name in names:
            builders[name].add(chunk.column(places[name]), chunk.rows)
    if not lines:
        raise bad_data(f"{source} has column names but no rows; add rows")
    columns = {name: builders.pop(name).build() for name in names}
    return Table(
        source=source,
        features=tuple(columns[name] for name in used),
        target=None if selection.target is None else columns[selection.target],
        lines=np.concatenate(lines),
        place=cells.place,
        sha256=file.sha256,
        revision=file.revision,
        columns=len(cells.header),
        folder=folder,
    )


def _folder(source: str, rows: int, columns: int, selection: Selection) -> tempfile.TemporaryDirectory[str] | None:
    """Where the features go that memory will not hold; None where it will."""
    if selection.bytes_per_number == 0:
        return None
    streams = selection.streams and not source.lower().endswith(_EXCEL)
    if not in_chunks(source, rows, columns, selection.bytes_per_number, streams=streams):
        return None
    folder = tempfile.TemporaryDirectory(prefix="table-")
    # The columns, and then the rows that are made of them.
    no_room(2 * rows * columns * _NUMBER_BYTES, shutil.disk_usage(folder.name).free, f"{source}, read to disk,")
    return folder


def _columns(source: str, columns: list[str], selection: Selection) -> tuple[str, ...]:
    """Names of the features."""
    if "" in columns:
        raise bad_data(
            f"{source}: column {columns.index('') + 1} has no name; name it, or write the file without it "
            "(an index, as a rule: index=False in pandas)"
        )
    doubled = next((name for name in columns if columns.count(name) > 1), None)
    if doubled is not None:
        raise bad_data(f'{source} has two columns named "{doubled}"; give each its own name')
    target = selection.target
    if target is not None and target not in columns:
        raise _absent(source, target, "target", columns)
    for name in selection.excluded:
        if name not in columns:
            raise _absent(source, name, "excludeFeatures", columns)
    if selection.features is None:
        wanted = tuple(name for name in columns if name != target and name not in selection.excluded)
    else:
        wanted = selection.features
    for name in wanted:
        if name not in columns:
            raise _absent(source, name, "features", columns)
    if target in wanted:
        raise bad_data(
            f'trainer.tabular.features names the target "{target}"; leave it out, or the model learns from the answer'
        )
    if not wanted:
        raise bad_data(f"{source} has no column besides the target; add features")
    for name in selection.kinds or {}:
        if name not in columns:
            raise _absent(source, name, "preprocessing.columnTypes", columns)
    return wanted


def _absent(source: str, name: str, field: str, columns: list[str]) -> TrainingError:
    return bad_data(
        f'{source} has no column "{name}" of trainer.tabular.{field}.{nearest(name, columns)} It has: {listed(columns)}'
    )

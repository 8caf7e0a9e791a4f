"""A file as typed columns. Every fault of the file names the column and the row, and says what to do."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import nearest
from trainingjob.storage.address import local_copy
from trainingjob.storage.manifest import sha256
from trainingjob.storage.store import StorageError
from trainingjob.tabular.data.cells import Cells
from trainingjob.tabular.data.column import Column, ColumnBuilder
from trainingjob.tabular.data.csvfile import csv_cells
from trainingjob.tabular.data.excelfile import excel_cells
from trainingjob.tabular.data.faults import bad_data, listed
from trainingjob.tabular.data.kinds import Kind
from trainingjob.tabular.data.memory import check_memory
from trainingjob.tabular.data.parquetfile import parquet_cells

_EXCEL = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")


@dataclass(frozen=True)
class Selection:
    """Which columns are read. `target` is None where there is nothing to compare with, as in a file to predict for; `excluded`
    counts only without `features`. `kinds` are those that are declared; others are judged. `bytes_per_number` is the memory that is
    going to be needed for each cell; 0 asks for no check."""

    target: str | None
    features: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    kinds: Mapping[str, Kind] | None = None
    bytes_per_number: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of a file. `lines` says where each row is in it; `place` is what that is called."""

    source: str
    features: tuple[Column, ...]
    target: Column | None
    lines: npt.NDArray[np.int64]
    place: str
    sha256: str

    def where(self, row: int) -> str:
        """Where a row is in its file, for messages."""
        return f"{self.source} {self.place} {self.lines[row]}"


def read_table(source: str, selection: Selection) -> Table:
    """Reads a CSV, Parquet or Excel file; its ending says which.

    Raises:
        TrainingError: exit code 3, when the file is missing or empty, lacks a column, or has cells that cannot be used; exit
            code 6, when storage does not answer, which may pass.
    """
    with opened(source) as path, _cells(path, source) as cells:
        return _read(path, source, cells, selection)


@contextmanager
def opened(source: str) -> Iterator[Path]:
    """A path at which the file can be read. Raises as `read_table` does."""
    try:
        with local_copy(source) as path:
            if not path.is_file():
                raise _missing(source)
            yield path
    except FileNotFoundError as error:
        raise _missing(source) from error
    except StorageError as error:
        message = f"{source} cannot be read: {error}"
        raise TrainingError(ExitCode.DATA if error.lasting else ExitCode.ARTIFACTS, message) from error
    except OSError as error:
        raise bad_data(f"{source} cannot be read: {error}") from error


def _cells(path: Path, source: str) -> AbstractContextManager[Cells]:
    ending = Path(source).suffix.lower()
    if ending in (".parquet", ".pq"):
        return parquet_cells(path, source)
    return excel_cells(path, source) if ending in _EXCEL else csv_cells(path, source)


def _missing(source: str) -> TrainingError:
    place = "into the bucket" if source.startswith("s3://") else "on the network volume"
    return bad_data(f"{source} is not there; put the file {place}, or correct trainer.tabular.dataset.source")


def _read(path: Path, source: str, cells: Cells, selection: Selection) -> Table:
    used = _columns(source, cells.header, selection)
    names = used if selection.target is None else (*used, selection.target)
    kinds = selection.kinds or {}
    if selection.bytes_per_number > 0:
        check_memory(source, cells.estimated_rows, len(names), selection.bytes_per_number)

    def builder(name: str) -> ColumnBuilder:
        called = "target column" if name == selection.target else "column"
        return ColumnBuilder(name, lambda row: f'{source} {cells.place} {row}, {called} "{name}"', kinds.get(name))

    builders = {name: builder(name) for name in names}
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
        sha256=sha256(path),
    )


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

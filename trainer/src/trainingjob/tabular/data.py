"""A CSV file as numbers. Every fault of the file names the column and the row, and says what to do."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split

from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import nearest
from trainingjob.storage.address import local_copy
from trainingjob.storage.manifest import sha256
from trainingjob.storage.store import StorageError

Floats = npt.NDArray[np.float64]

# XGBoost keeps numbers in single precision.
_MOST_NUMBER = float(np.finfo(np.float32).max)
_CLASSES = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "false": 0.0, "true": 1.0}


@dataclass(frozen=True)
class Table:
    """Rows of a file: `x` is (rows, features), with NaN where a cell is empty; `y` is (rows,), of 0 and 1."""

    features: tuple[str, ...]
    target: str
    x: Floats
    y: Floats
    sha256: str


@dataclass(frozen=True)
class Split:
    """Indices of a table's rows."""

    train: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]


def bad_data(message: str) -> TrainingError:
    """Data that cannot be trained on, exit code 3."""
    return TrainingError(ExitCode.DATA, message)


def read_table(source: str, target: str, features: tuple[str, ...] | None) -> Table:
    """Reads a CSV file with a header line.

    Raises:
        TrainingError: exit code 3, when the file is missing or empty, lacks a column, or holds what is no number; exit
            code 6, when storage does not answer, which may pass.
    """
    try:
        with local_copy(source) as path:
            if not path.is_file():
                raise _missing(source)
            used, rows, sha = _read(path, source, target, features)
    except FileNotFoundError as error:
        raise _missing(source) from error
    except StorageError as error:
        message = f"{source} cannot be read: {error}"
        raise TrainingError(ExitCode.DATA if error.lasting else ExitCode.ARTIFACTS, message) from error
    except OSError as error:
        raise bad_data(f"{source} cannot be read: {error}") from error
    if not rows:
        raise bad_data(f"{source} has column names but no rows; add rows")
    numbers = np.array(rows, dtype=np.float64)
    table = Table(features=used, target=target, x=numbers[:, :-1], y=numbers[:, -1], sha256=sha)
    _check_classes(source, table)
    return table


def _missing(source: str) -> TrainingError:
    place = "into the bucket" if source.startswith("s3://") else "on the network volume"
    return bad_data(f"{source} is not there; put the file {place}, or correct trainer.tabular.dataset.source")


def _read(
    path: Path, source: str, target: str, features: tuple[str, ...] | None
) -> tuple[tuple[str, ...], list[list[float]], str]:
    """Names of the features, rows with the target last, and the file's SHA-256."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, None)
            if not header or not any(name.strip() for name in header):
                raise bad_data(f"{source} is empty; it needs a line of column names and then one line for each row")
            columns = [name.strip() for name in header]
            used = _columns(source, columns, target, features)
            rows = _rows(source, reader, columns, used, target)
    except (UnicodeDecodeError, csv.Error) as error:
        raise bad_data(f"{source} cannot be read as CSV in UTF-8: {error}; save it so") from error
    return used, rows, sha256(path)


def split_rows(table: Table, share: float, seed: int) -> Split:
    """Holds out a share of the rows, stratified by target; the same seed holds out the same rows.

    Raises:
        TrainingError: exit code 3, when a part would lack one of the classes.
    """
    indices = np.arange(len(table.y))
    try:
        train, held_out = train_test_split(indices, test_size=share, random_state=seed, stratify=table.y)
    except ValueError as error:
        raise bad_data(
            f"{len(table.y)} rows cannot be split with evalSplit {share}: {error}; add rows or change evalSplit"
        ) from error
    for part, rows in (("training", train), ("held-out", held_out)):
        if len(np.unique(table.y[rows])) < 2:
            raise bad_data(
                f"with evalSplit {share} the {len(rows)} {part} rows would all be of one class; add rows of the rarer class "
                "or change evalSplit"
            )
    return Split(train=train, held_out=held_out)


def write_rows(path: Path, table: Table, rows: npt.NDArray[np.int64]) -> None:
    """Writes rows with features and target as CSV; numbers are written so that they read back the same."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*table.features, table.target])
        for row in rows:
            writer.writerow(
                [*("" if math.isnan(value) else repr(float(value)) for value in table.x[row]), int(table.y[row])]
            )


def _columns(source: str, columns: list[str], target: str, features: tuple[str, ...] | None) -> tuple[str, ...]:
    if "" in columns:
        raise bad_data(
            f"{source}: column {columns.index('') + 1} has no name; name it, or write the file without it "
            "(an index, as a rule: index=False in pandas)"
        )
    doubled = next((name for name in columns if columns.count(name) > 1), None)
    if doubled is not None:
        raise bad_data(f'{source} has two columns named "{doubled}"; give each its own name')
    if target not in columns:
        raise bad_data(
            f'{source} has no column "{target}" for trainer.tabular.target.{nearest(target, columns)} It has: {_listed(columns)}'
        )
    wanted = tuple(name for name in columns if name != target) if features is None else features
    for name in wanted:
        if name not in columns:
            raise bad_data(
                f'{source} has no column "{name}" of trainer.tabular.features.{nearest(name, columns)} It has: {_listed(columns)}'
            )
    if target in wanted:
        raise bad_data(
            f'trainer.tabular.features names the target "{target}"; leave it out, or the model learns from the answer'
        )
    if not wanted:
        raise bad_data(f"{source} has no column besides the target; add features")
    unfit = next((name for name in wanted if set(name) & set("[]<")), None)
    if unfit is not None:
        raise bad_data(f'{source}: XGBoost takes no column named "{unfit}"; rename it without [, ] and <')
    return wanted


def _rows(source: str, reader: Any, columns: list[str], used: tuple[str, ...], target: str) -> list[list[float]]:
    places = [columns.index(name) for name in used]
    target_place = columns.index(target)
    rows: list[list[float]] = []
    for cells in reader:
        if not cells:
            continue
        where = f"{source} line {reader.line_num}"
        if len(cells) != len(columns):
            raise bad_data(
                f"{where} has {len(cells)} cells, the header has {len(columns)}; quote cells that contain commas"
            )
        row = [_number(cells[place], f'{where}, column "{columns[place]}"') for place in places]
        row.append(_class(cells[target_place], f'{where}, target column "{target}"'))
        rows.append(row)
    return rows


def _number(cell: str, where: str) -> float:
    text = cell.strip()
    if text == "":
        return math.nan
    try:
        # "nan" passes on purpose: pandas and NumPy write it where a value is missing, so it is one, as an empty cell is.
        # Not so 1_000, which is a number to Python alone.
        value = float("" if "_" in text else text)
    except ValueError:
        raise bad_data(
            f'{where} holds "{text[:40]}", which is no number; encode it as one, leave the cell empty if the value is unknown, '
            "or leave the column out of features"
        ) from None
    if math.isinf(value):
        raise bad_data(f"{where} holds an infinite number; leave the cell empty if the value is unknown")
    if abs(value) > _MOST_NUMBER:
        raise bad_data(f"{where} holds {text[:40]}, which is too large for single precision; scale the column")
    return value


def _class(cell: str, where: str) -> float:
    value = _CLASSES.get(cell.strip().lower())
    if value is None:
        shown = f'"{cell.strip()[:40]}"' if cell.strip() else "nothing"
        raise bad_data(f"{where} holds {shown}; write 0 or 1, or false or true")
    return value


def _check_classes(source: str, table: Table) -> None:
    classes = np.unique(table.y)
    if len(classes) < 2:
        raise bad_data(
            f'{source}: every row has {int(classes[0])} in the target column "{table.target}"; rows of both classes are needed'
        )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")

"""One column, built chunk by chunk: what its cells are is judged by the first ones and held to by all others."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from trainingjob.datafile import bad_data
from trainingjob.tabular.data.kinds import Kind

Floats = npt.NDArray[np.float64]

# XGBoost and CatBoost keep numbers in single precision.
_MOST_NUMBER = float(np.finfo(np.float32).max)
_MOST_WHOLE = 2**53
_TRUTH = {"false": 0.0, "true": 1.0}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_MOMENT = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_MOMENT = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
# The last one that double precision has: the usual open end, 9999-12-31 23:59:59.999999, would be rounded into the year 10000.
_LAST_KEPT = int(np.nextafter(float(_LAST_MOMENT), 0))


@dataclass(frozen=True)
class Column:
    """`values` is (rows,): numbers; 0 and 1 for truth values; microseconds since 1970 for dates; for texts the place in
    `categories`. NaN where a cell is empty."""

    name: str
    kind: Kind
    values: Floats
    categories: tuple[str, ...] = ()

    def take(self, rows: Any) -> "Column":
        """Some of its rows, in memory."""
        return Column(self.name, self.kind, np.array(self.values[rows]), self.categories)

    def text(self, row: int) -> str:
        """The cell as it is written to a file, so that it reads back the same."""
        value = float(self.values[row])
        if math.isnan(value):
            return ""
        if self.kind == "Categorical":
            return self.categories[int(value)]
        if self.kind == "Boolean":
            return "true" if value else "false"
        if self.kind == "Date":
            return (_EPOCH + int(value) * _MICROSECOND).replace(tzinfo=None).isoformat()
        # Whole numbers are written as such, but for the zero that has a sign.
        whole = value.is_integer() and abs(value) < _MOST_WHOLE and (value != 0 or math.copysign(1, value) > 0)
        return str(int(value)) if whole else repr(value)


class ColumnBuilder:
    """Takes the cells of one column. `where` says in messages where the cell of a row is."""

    def __init__(self, name: str, where: Callable[[int], str], kind: Kind | None) -> None:
        self._name, self._where, self._kind = name, where, kind
        self._parts: list[Floats] = []
        self._places: dict[str, int] = {}

    def add(self, cells: Any, rows: Sequence[int]) -> None:
        """Takes a chunk. Raises TrainingError with exit code 3, naming the row, for a cell that the column cannot have."""
        if isinstance(cells, np.ndarray):
            cells = self._typed(cells, rows)
            if cells is None:
                return
        numbers = _numbers(cells) if self._kind == "Numeric" else None
        if numbers is not None:
            self._check(numbers, rows)
            self._keep(numbers)
            return
        texts = [cell.strip() for cell in cells]
        if self._kind is None:
            self._kind = _judge(texts)
        if self._kind is None:
            self._keep(np.full(len(texts), math.nan))
            return
        self._keep(self._read(self._kind, texts, rows))

    def build(self) -> Column:
        values = np.concatenate(self._parts) if self._parts else np.empty(0)
        self._parts = []
        if self._kind != "Categorical":
            return Column(self._name, self._kind or "Numeric", values)
        moved, ordered = self._order()
        codes = np.where(np.isnan(values), len(ordered), values).astype(np.int64)
        return Column(self._name, self._kind, moved[codes], ordered)

    def _keep(self, values: Floats) -> None:
        self._parts.append(values)

    def _order(self) -> tuple[Floats, tuple[str, ...]]:
        """The texts in order, and for each place that one was given so far the place in that order; at the end that of none."""
        # In order, so that neither the order of rows nor that of files decides which place a text has.
        ordered = sorted(self._places)
        moved = np.empty(len(ordered) + 1)
        moved[-1] = math.nan
        for place, text in enumerate(ordered):
            moved[self._places[text]] = place
        return moved, tuple(ordered)

    def _typed(self, cells: Any, rows: Sequence[int]) -> list[str] | None:
        """Takes an array of the file's own type; answers texts where the column is declared to be of another."""
        found: Kind = "Boolean" if cells.dtype == bool else "Date" if cells.dtype.kind == "M" else "Numeric"
        if self._kind is None:
            self._kind = found
        if self._kind != found:
            return _texts(cells, found)
        if found == "Date":
            moments = cells.astype(np.int64)
            values = np.where(moments <= _LAST_MOMENT, np.minimum(moments, _LAST_KEPT), moments).astype(np.float64)
            values[np.isnat(cells)] = math.nan
        else:
            values = cells.astype(np.float64)
        self._check(values, rows)
        self._keep(values)
        return None

    def _read(self, kind: Kind, texts: list[str], rows: Sequence[int]) -> Floats:
        if kind == "Categorical":
            return self._categories(texts)
        read = {"Numeric": _number, "Boolean": _truth, "Date": _moment}[kind]
        try:
            values = np.array([math.nan if text == "" else read(text) for text in texts], dtype=np.float64)
        except ValueError:
            raise self._refusal(kind, texts, rows, read) from None
        self._check(values, rows)
        return values

    def _categories(self, texts: list[str]) -> Floats:
        places = self._places
        return np.array(
            [math.nan if text == "" or _is_nan(text) else places.setdefault(text, len(places)) for text in texts],
            dtype=np.float64,
        )

    def _refusal(self, kind: Kind, texts: list[str], rows: Sequence[int], read: Any) -> Exception:
        for text, row in zip(texts, rows, strict=True):
            try:
                if text != "":
                    read(text)
            except ValueError:
                wanted = {
                    "Numeric": "no number",
                    "Boolean": "neither true nor false",
                    "Date": "no date such as 2026-01-31",
                }
                return bad_data(
                    f'{self._where(row)} holds "{text[:40]}", which is {wanted[kind]}; correct it, leave '
                    "the cell empty if the value is unknown, declare the column Categorical in preprocessing.columnTypes, or leave "
                    "it out of features"
                )
        raise AssertionError("a cell that could not be read can be read")

    def _check(self, values: Floats, rows: Sequence[int]) -> None:
        with np.errstate(invalid="ignore"):
            if self._kind == "Date":
                wrong = np.flatnonzero((values < _FIRST_MOMENT) | (values > _LAST_KEPT))
            else:
                wrong = np.flatnonzero(np.isinf(values) | ((np.abs(values) > _MOST_NUMBER) & (self._kind == "Numeric")))
        if len(wrong) == 0:
            return
        where = self._where(rows[int(wrong[0])])
        if self._kind == "Date":
            raise bad_data(
                f"{where} holds a moment outside the years 1 to 9999 (UTC); correct it, or leave the cell empty if it is unknown"
            )
        value = float(values[wrong[0]])
        if math.isinf(value):
            raise bad_data(f"{where} holds an infinite number; leave the cell empty if the value is unknown")
        raise bad_data(f"{where} holds {value!r}, which is too large for single precision; scale the column")


def _judge(texts: list[str]) -> Kind | None:
    """What the cells are: numbers or dates when half of them are, so that a stray text among numbers is a fault that is named
    and not a category; None when all are missing, which says nothing of the others."""
    filled = [text for text in texts if text != "" and not _is_nan(text)]
    if not filled:
        return None
    if 2 * sum(_can(_number, text) for text in filled) >= len(filled):
        return "Numeric"
    if all(text.lower() in _TRUTH for text in filled):
        return "Boolean"
    if 2 * sum(_can(_moment, text) for text in filled) >= len(filled):
        return "Date"
    return "Categorical"


def _can(read: Any, text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _numbers(cells: Sequence[str]) -> Floats | None:
    """All cells of a chunk at once where each is a number, as `_number` reads it, which most chunks of a large file are."""
    if "_" in "".join(cells):
        return None
    try:
        return np.array(list(map(float, cells)), dtype=np.float64)
    except ValueError:
        return None


def _number(text: str) -> float:
    # "nan" passes on purpose: pandas and NumPy write it where a value is missing, so it is one, as an empty cell is.
    # Not so 1_000, which is a number to Python alone.
    return float("" if "_" in text else text)


def _is_nan(text: str) -> bool:
    return text.lower() in ("nan", "+nan", "-nan")


def _truth(text: str) -> float:
    known = _TRUTH.get(text.lower())
    if known is None:
        if _is_nan(text):
            return math.nan
        number = _number(text)
        if number not in (0.0, 1.0):
            raise ValueError(text)
        return number
    return known


def _moment(text: str) -> float:
    # A plain number is no date, though Python takes 20260131 for one.
    if _is_nan(text):
        return math.nan
    if len(text) < 8 or text[4] != "-":
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    gone = (moment - _EPOCH) // _MICROSECOND
    return float(min(gone, _LAST_KEPT) if gone <= _LAST_MOMENT else gone)


def _texts(cells: Any, found: Kind) -> list[str]:
    if found == "Boolean":
        return ["true" if cell else "false" for cell in cells]
    if found == "Date":
        return ["" if np.isnat(cell) else str(cell) for cell in cells]
    return [
        "" if math.isnan(cell) else str(int(cell)) if float(cell).is_integer() else repr(float(cell)) for cell in cells
    ]

"""A column whose cells lie on disk: memory holds one column at a time, and that for as long as it is looked at."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from trainingjob.datafile import bad_data
from trainingjob.tabular.data.column import Column, ColumnBuilder, Floats
from trainingjob.tabular.data.kinds import Kind

_MOST_TEXTS = 1_000_000
_CODES_AT_ONCE = 2**20


class StoredColumn(Column):
    """As a column in memory is, but that `values` is read anew each time that it is asked for."""

    def __init__(self, name: str, kind: Kind, path: Path, categories: tuple[str, ...]) -> None:
        super().__init__(name, kind, np.empty(0), categories)
        object.__setattr__(self, "_path", path)

    def __getattribute__(self, name: str) -> object:
        if name == "values":
            return _mapped(object.__getattribute__(self, "_path"))
        return super().__getattribute__(name)


class StoredBuilder(ColumnBuilder):
    """Takes the cells of one column and writes them to a file of its own."""

    def __init__(self, name: str, where: Callable[[int], str], kind: Kind | None, path: Path) -> None:
        super().__init__(name, where, kind)
        self._path = path
        path.touch()

    def build(self) -> Column:
        if self._kind == "Categorical":
            moved, ordered = self._order()
            values = np.memmap(self._path, np.float64, "r+")
            for start in range(0, len(values), _CODES_AT_ONCE):
                part = np.array(values[start : start + _CODES_AT_ONCE])
                values[start : start + _CODES_AT_ONCE] = moved[
                    np.where(np.isnan(part), len(ordered), part).astype(np.int64)
                ]
            values.flush()
            return StoredColumn(self._name, self._kind, self._path, ordered)
        return StoredColumn(self._name, self._kind or "Numeric", self._path, ())

    def _keep(self, values: Floats) -> None:
        if len(self._places) > _MOST_TEXTS:
            raise bad_data(
                f'column "{self._name}" has more than {_MOST_TEXTS} different texts, too many to be learnt from; leave it out of features'
            )
        with self._path.open("ab") as file:
            values.tofile(file)


def _mapped(path: Path) -> Floats:
    return np.memmap(path, np.float64, "r") if path.stat().st_size > 0 else np.full(0, math.nan)

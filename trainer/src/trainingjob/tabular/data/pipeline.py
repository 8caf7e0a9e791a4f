"""From typed columns to the matrix that a model takes. All that it knows was learnt from the training rows alone, and it is
stored as JSON beside the model: what is predicted later goes the way that training went."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainingjob.datafile import bad_data
from trainingjob.tabular.data.column import Column, Floats
from trainingjob.tabular.data.inputs import Inputs
from trainingjob.tabular.data.kinds import Kind
from trainingjob.tabular.data.preprocessing import Encoding, Imputing, Preprocessing, Scaling
from trainingjob.tabular.data.split import Rows

PIPELINE_FILE = "pipeline.json"

_DAY = 86_400_000_000
# More would be a matrix that no memory holds; it is a key or a free text as a rule.
_MOST_ONE_HOT = 1000


@dataclass(frozen=True)
class Feature:
    """What was learnt of one column. `fill` takes the place of a missing value (None: it stays missing), once for each of the
    numbers that a date becomes; `center` and `scale` belong to the scaling; `categories` are those of the training rows."""

    name: str
    kind: Kind
    fill: tuple[float | None, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Matrix:
    """`x` is (rows, columns); `kept` are the rows of the table that it holds; `categorical` are columns of category codes."""

    x: Inputs
    names: tuple[str, ...]
    categorical: tuple[int, ...]
    kept: Rows


@dataclass(frozen=True)
class Pipeline:
    """Learnt by `fit`, or read from a file."""

    features: tuple[Feature, ...]
    imputing: Imputing
    encoding: Encoding

    @property
    def kinds(self) -> Mapping[str, Kind]:
        return {feature.name: feature.kind for feature in self.features}

    @property
    def widths(self) -> Mapping[str, int]:
        """How many columns of the matrix each column of the table becomes."""
        return {feature.name: len(self._names(feature)) for feature in self.features}

    def transform(self, columns: tuple[Column, ...], rows: Rows) -> Matrix:
        """Rows of a table. With `Drop`, rows that lack a value are left out, which `kept` tells."""
        by_name = {column.name: column for column in columns}
        if self.imputing == "Drop":
            rows = rows[complete(tuple(by_name[feature.name] for feature in self.features), rows)]
        names = tuple(name for feature in self.features for name in self._names(feature))
        # Filled in place: parts that are put together would be there twice.
        x = np.empty((len(rows), len(names)))
        categorical: list[int] = []
        place = 0
        for feature in self.features:
            if feature.kind == "Categorical" and self.encoding == "Native":
                categorical.append(place)
            width = len(self._names(feature))
            self._write_into(x[:, place : place + width], feature, by_name[feature.name], rows)
            place += width
        return Matrix(x, names, tuple(categorical), rows)

    def write(self, folder: Path) -> None:
        document = {
            "imputing": self.imputing,
            "encoding": self.encoding,
            "features": [asdict(f) for f in self.features],
        }
        (folder / PIPELINE_FILE).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def _names(self, feature: Feature) -> list[str]:
        if feature.kind == "Categorical" and self.encoding == "OneHot":
            return [f"{feature.name}={text}" for text in feature.categories]
        if feature.kind == "Date":
            return [f"{feature.name} ({part})" for part in ("day", "month", "weekday")]
        return [feature.name]

    def _write_into(self, x: Floats, feature: Feature, column: Column, rows: Rows) -> None:
        if feature.kind != "Categorical":
            numbers = _numbers(column, rows)
            for index, fill in enumerate(feature.fill):
                if fill is not None:
                    numbers[np.isnan(numbers[:, index]), index] = fill
            x[:] = (numbers - np.array(feature.center)) / np.array(feature.scale)
            return
        codes = _codes(feature, column, rows)
        if self.encoding != "OneHot":
            # Unseen: a place of its own after the known ones, or missing where the library knows categories.
            unseen = math.nan if self.encoding == "Native" else len(feature.categories)
            x[:, 0] = np.where(codes == -1, unseen, codes)
            return
        # A row of an unseen or missing category is zero in every column.
        x[:] = 0.0
        known = np.flatnonzero(codes >= 0)
        x[known, codes[known].astype(np.int64)] = 1.0


def fit(
    columns: tuple[Column, ...], train: Rows, chosen: Preprocessing, encoding: Encoding, scaling: Scaling
) -> tuple[Pipeline, list[str]]:
    """Learns from the training rows.

    Returns:
        The pipeline, and a sentence for each column that is left out because it says nothing.

    Raises:
        TrainingError: exit code 3, when no column is left or one has too many categories for OneHot.
    """
    features: list[Feature] = []
    notes: list[str] = []
    for column in columns:
        values = column.values[train]
        known = values[~np.isnan(values)]
        missing_counts = chosen.imputing == "Native" or column.kind == "Categorical"
        if len(known) == 0:
            notes.append(f'column "{column.name}" has no value in the training rows and is left out')
        elif np.all(known == known[0]) and (len(known) == len(values) or not missing_counts):
            notes.append(f'column "{column.name}" has one value in all training rows and is left out')
        else:
            features.append(_feature(column, train, chosen, encoding, scaling))
    if not features:
        raise bad_data(f"no column can be learnt from: {'; '.join(notes)}; add columns that vary")
    return Pipeline(tuple(features), chosen.imputing, encoding), notes


def read_pipeline(folder: Path) -> Pipeline:
    """Reads what `write` stored; raises ValueError or KeyError when it is no pipeline."""
    document: dict[str, Any] = json.loads((folder / PIPELINE_FILE).read_text(encoding="utf-8"))
    lists = ("fill", "center", "scale", "categories")
    entries: list[dict[str, Any]] = [
        {key: tuple(value) if key in lists else value for key, value in entry.items()} for entry in document["features"]
    ]
    features = tuple(Feature(**entry) for entry in entries)
    return Pipeline(features, document["imputing"], document["encoding"])


def complete(columns: tuple[Column, ...], rows: Rows) -> Any:
    """Which of the rows have a value in every column."""
    whole = np.ones(len(rows), dtype=bool)
    for column in columns:
        whole &= ~np.isnan(column.values[rows])
    return whole


def _feature(column: Column, train: Rows, chosen: Preprocessing, encoding: Encoding, scaling: Scaling) -> Feature:
    if column.kind == "Categorical":
        return _categories(column, train, chosen, encoding)
    numbers = _numbers(column, train)
    fill = tuple(_fill(numbers[:, index], column, chosen) for index in range(numbers.shape[1]))
    for index, value in enumerate(fill):
        if value is not None:
            numbers[np.isnan(numbers[:, index]), index] = value
    # Truth values are 0 and 1 already.
    center, scale = _scaling(numbers, "None" if column.kind == "Boolean" else scaling)
    return Feature(column.name, column.kind, fill, center, scale)


def _categories(column: Column, train: Rows, chosen: Preprocessing, encoding: Encoding) -> Feature:
    values = column.values[train]
    codes, counts = np.unique(values[~np.isnan(values)].astype(np.int64), return_counts=True)
    categories = [column.categories[code] for code in codes]
    filled: str | None = None
    if chosen.imputing == "Constant":
        filled = chosen.fill_value
    elif chosen.imputing in ("Mean", "Median", "MostFrequent"):
        # A text has no mean; the first of the most frequent, in order, takes its place.
        filled = categories[int(np.argmax(counts))]
    if filled is not None and filled not in categories:
        categories = sorted([*categories, filled])
    if encoding == "OneHot" and len(categories) > _MOST_ONE_HOT:
        raise bad_data(
            f'column "{column.name}" has {len(categories)} different texts, too many for a column each; leave it out of features, '
            "or write preprocessing.encoding: Ordinal"
        )
    place = None if filled is None else float(categories.index(filled))
    return Feature(column.name, column.kind, (place,), (0.0,), (1.0,), tuple(categories))


def _codes(feature: Feature, column: Column, rows: Rows) -> Floats:
    """Places in the feature's categories; -1 for a text that training has not seen, NaN or its substitute for a missing one."""
    known = {text: place for place, text in enumerate(feature.categories)}
    moved = np.array([known.get(text, -1) for text in column.categories] + [math.nan])
    values = column.values[rows]
    codes: Floats = moved[np.where(np.isnan(values), len(column.categories), values).astype(np.int64)]
    if feature.fill[0] is not None:
        codes[np.isnan(codes)] = feature.fill[0]
    return codes


def _numbers(column: Column, rows: Rows) -> Floats:
    """(rows, 1); of dates (rows, 3): days since 1970 with fractions, month, and day of the week from Monday, 0."""
    values = column.values[rows]
    if column.kind != "Date":
        return values[:, None].copy()
    missing = np.isnan(values)
    moments = np.where(missing, 0, values).astype(np.int64)
    months = moments.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    # The first of January 1970 was a Thursday.
    weekdays = (moments // _DAY + 3) % 7
    numbers = np.column_stack([moments / _DAY, months.astype(np.float64), weekdays.astype(np.float64)])
    numbers[missing] = math.nan
    return numbers


def _fill(numbers: Floats, column: Column, chosen: Preprocessing) -> float | None:
    known = numbers[~np.isnan(numbers)]
    if chosen.imputing in ("Drop", "Native"):
        return None
    if chosen.imputing == "Constant":
        return _constant(column, chosen.fill_value)
    # The mean of truth values is none.
    if chosen.imputing == "MostFrequent" or column.kind == "Boolean":
        values, counts = np.unique(known, return_counts=True)
        return float(values[int(np.argmax(counts))])
    return float(np.mean(known) if chosen.imputing == "Mean" else np.median(known))


def _constant(column: Column, text: str | None) -> float:
    try:
        value = float(text or "")
        if math.isfinite(value):
            return value
    except ValueError:
        pass
    raise bad_data(
        f'preprocessing.fillValue: "{text}" is no number, as the {column.kind} column "{column.name}" needs; write a number'
    )


def _scaling(numbers: Floats, scaling: Scaling) -> tuple[tuple[float, ...], tuple[float, ...]]:
    width = numbers.shape[1]
    if scaling == "Standard":
        center, scale = np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0)
    elif scaling == "MinMax":
        center = np.nanmin(numbers, axis=0)
        scale = np.nanmax(numbers, axis=0) - center
    elif scaling == "Robust":
        low, center, high = np.nanpercentile(numbers, [25, 50, 75], axis=0)
        scale = high - low
    else:
        center, scale = np.zeros(width), np.ones(width)
    # Where nothing varies there is nothing to divide by.
    scale = np.where(scale == 0, 1.0, scale)
    return tuple(float(value) for value in center), tuple(float(value) for value in scale)

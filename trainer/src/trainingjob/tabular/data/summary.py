"""What a column holds, in a few figures."""

from typing import Any

import numpy as np

from trainingjob.tabular.data.column import Column

MOST_COLUMNS = 1000
_MOST_NAME = 256


def summary_of(column: Column) -> dict[str, Any]:
    """Type, missing cells, and what fits the type: least, mean and greatest of numbers, first and last of dates, share of true,
    number of different texts. What a column without values has none of is absent."""
    known = column.values[~np.isnan(column.values)]
    found: dict[str, Any] = {
        "name": column.name[:_MOST_NAME],
        "type": column.kind,
        "missing": len(column.values) - len(known),
    }
    if column.kind == "Categorical":
        return {**found, "distinct": len(column.categories)}
    if len(known) == 0:
        return found
    if column.kind == "Boolean":
        return {**found, "mean": float(known.mean())}
    if column.kind == "Date":
        first, last = np.nanargmin(column.values), np.nanargmax(column.values)
        return {**found, "min": column.text(int(first)), "max": column.text(int(last))}
    return {**found, "min": float(known.min()), "mean": float(known.mean()), "max": float(known.max())}

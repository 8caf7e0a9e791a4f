"""A number is predicted."""

from typing import Any

import numpy as np
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, mean_squared_error, r2_score

from trainingjob.datafile import bad_data
from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.table import Table
from trainingjob.tabular.predicted import Predicted


class Regression:
    """The loss is the mean squared error."""

    name = "regression"
    metrics: tuple[str, ...] = ("rmse", "mae", "r2")
    main_metric = "r2"

    def encode(self, table: Table) -> tuple[Floats, tuple[str, ...]]:
        column = table.target
        assert column is not None
        if column.kind not in ("Numeric", "Boolean"):
            first = int(np.flatnonzero(~np.isnan(column.values))[0])
            raise bad_data(
                f'{table.where(first)}, target column "{column.name}" holds "{column.text(first)}"; a regression predicts numbers, so '
                "choose another target or a classification"
            )
        missing = np.flatnonzero(np.isnan(column.values))
        if len(missing) > 0:
            raise bad_data(
                f'{table.where(int(missing[0]))}, target column "{column.name}" holds nothing; write a number or leave the row out'
            )
        if np.all(column.values == column.values[0]):
            raise bad_data(
                f'{table.source}: every row has {column.text(0)} in the target column "{column.name}"; there is nothing to learn'
            )
        return column.values, ()

    def loss(self, truth: Floats, predicted: Predicted) -> float:
        return float(mean_squared_error(truth, predicted.values))

    def evaluate(self, truth: Floats, predicted: Predicted) -> dict[str, float]:
        values = predicted.values
        found = {"rmse": self.loss(truth, predicted) ** 0.5, "mae": float(mean_absolute_error(truth, values))}
        return found if _constant(truth) else {**found, "r2": float(r2_score(truth, values))}

    def report(
        self, truth: Floats, predicted: Predicted, classes: tuple[str, ...]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        found: dict[str, Any] = {"mse": self.loss(truth, predicted), **self.evaluate(truth, predicted)}
        absent: dict[str, str] = {}
        if _constant(truth):
            absent["r2"] = "all rows that it would be measured on have the same target"
        if np.any(truth == 0):
            absent["mape"] = "the target is zero in some rows, and there is no share of zero"
        else:
            found["mape"] = float(mean_absolute_percentage_error(truth, predicted.values))
        rest = truth - predicted.values
        quartiles = np.percentile(rest, [0, 25, 50, 75, 100])
        found["residuals"] = {
            "mean": float(np.mean(rest)),
            "std": float(np.std(rest)),
            **dict(zip(("min", "q1", "median", "q3", "max"), (float(value) for value in quartiles), strict=True)),
        }
        return found, absent


def _constant(truth: Floats) -> bool:
    return bool(np.all(truth == truth[0]))

"""One of several classes is predicted. Figures of one class against the others are means over the classes."""

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from trainingjob.datafile import bad_data
from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.table import Table
from trainingjob.tabular.predicted import Predicted
from trainingjob.tabular.tasks.classification import (
    accuracy_of,
    calibration_of,
    class_report,
    classes_of,
    log_loss_of,
)


class Multiclass:
    """The loss is the log loss."""

    name = "multiclass_classification"
    metrics: tuple[str, ...] = ("accuracy", "auc")
    main_metric = "accuracy"

    def encode(self, table: Table) -> tuple[Floats, tuple[str, ...]]:
        y, classes = classes_of(table)
        if len(classes) == 2:
            raise bad_data(
                f'{table.source}: the target column has two classes, "{classes[0]}" and "{classes[1]}"; choose binary_classification'
            )
        return y, classes

    def loss(self, truth: Floats, predicted: Predicted) -> float:
        return log_loss_of(truth, predicted)

    def evaluate(self, truth: Floats, predicted: Predicted) -> dict[str, float]:
        return {"accuracy": accuracy_of(truth, predicted), "auc": _auc(truth, predicted)}

    def report(
        self, truth: Floats, predicted: Predicted, classes: tuple[str, ...]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        probabilities = predicted.probabilities
        assert probabilities is not None
        outcomes = _outcomes(truth, probabilities)
        found = class_report(truth, predicted, classes, "macro")
        found |= {
            "roc_auc": _auc(truth, predicted),
            "auc_pr": float(average_precision_score(outcomes, probabilities, average="macro")),
            # Of all classes together, as Brier defined it: from 0 to 2.
            "brier_score": float(np.mean(np.sum((probabilities - outcomes) ** 2, axis=1))),
            "calibration": calibration_of(outcomes.ravel(), probabilities.ravel()),
        }
        return found, {}


def _outcomes(truth: Floats, probabilities: Floats) -> Floats:
    outcomes: Floats = (truth[:, None] == np.arange(probabilities.shape[1])).astype(np.float64)
    return outcomes


def _auc(truth: Floats, predicted: Predicted) -> float:
    probabilities = predicted.probabilities
    assert probabilities is not None
    return float(roc_auc_score(_outcomes(truth, probabilities), probabilities, average="macro"))

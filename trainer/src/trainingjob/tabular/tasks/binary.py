"""One of two classes is predicted; the second in order is the positive one."""

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

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


class Binary:
    """The loss is the log loss."""

    name = "binary_classification"
    metrics: tuple[str, ...] = ("accuracy", "auc")
    main_metric = "accuracy"

    def encode(self, table: Table) -> tuple[Floats, tuple[str, ...]]:
        y, classes = classes_of(table)
        if len(classes) > 2:
            row = int(np.flatnonzero(y == 2)[0])
            raise bad_data(
                f'{table.where(row)}, target column holds "{classes[2]}", a third class besides "{classes[0]}" and "{classes[1]}"; '
                "correct it, or choose multiclass_classification"
            )
        return y, classes

    def loss(self, truth: Floats, predicted: Predicted) -> float:
        return log_loss_of(truth, predicted)

    def evaluate(self, truth: Floats, predicted: Predicted) -> dict[str, float]:
        return {
            "accuracy": accuracy_of(truth, predicted),
            "auc": float(roc_auc_score(truth, _second(predicted))),
        }

    def report(
        self, truth: Floats, predicted: Predicted, classes: tuple[str, ...]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        second = _second(predicted)
        found = class_report(truth, predicted, classes, "binary")
        found |= {
            "roc_auc": float(roc_auc_score(truth, second)),
            "auc_pr": float(average_precision_score(truth, second)),
            "brier_score": float(brier_score_loss(truth, second)),
            "calibration": calibration_of(truth, second),
        }
        return found, {}


def _second(predicted: Predicted) -> Floats:
    assert predicted.probabilities is not None
    return predicted.probabilities[:, 1]

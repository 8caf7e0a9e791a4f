"""Which plots a result has."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainingjob.tabular.families.family import Predictor
from trainingjob.tabular.importance import permuted
from trainingjob.tabular.predicted import Predicted
from trainingjob.tabular.prepare import Prepared
from trainingjob.tabular.report.plots import (
    Plot,
    calibration,
    confusion_matrix,
    importance,
    learning_curve,
    precision_recall,
    residuals,
    roc,
)
from trainingjob.tabular.tasks.task import Task


def draw(
    task: Task,
    prepared: Prepared,
    evaluations: Mapping[int, Mapping[str, float]],
    best: int,
    model: Predictor,
    predicted: Predicted,
    metrics: Mapping[str, Any],
    unit: str,
) -> tuple[list[Plot], dict[str, str]]:
    """The plots, and why others are not among them. `evaluations` are the model's own, by round, and `best` is the round it has."""
    plots: list[Plot] = []
    absent: dict[str, str] = {}
    truth, probabilities, classes = prepared.test.y, predicted.probabilities, prepared.classes
    if probabilities is None:
        plots.append(residuals(truth, predicted.values))
    else:
        outcomes = (truth[:, None] == np.arange(len(classes))).astype(np.float64)
        # Of two classes, one curve says both.
        shown = slice(1, 2) if len(classes) == 2 else slice(None)
        plots += [
            confusion_matrix(metrics["confusion_matrix"], classes),
            roc(outcomes[:, shown], probabilities[:, shown], classes[shown]),
            precision_recall(outcomes[:, shown], probabilities[:, shown], classes[shown]),
            calibration(metrics["calibration"]),
        ]
    if len(evaluations) > 1:
        plots.append(learning_curve(evaluations, best, unit))
    else:
        absent["learning_curve"] = "there was one evaluation only"
    found = model.importance() or permuted(task, model, prepared.test, metrics["seed"])
    plots.append(importance(*found, prepared.problem.names))
    return plots, absent

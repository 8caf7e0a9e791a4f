"""What both classifications share: classes from a column, and the metrics of classes."""

from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
)

from trainingjob.datafile import bad_data
from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.table import Table
from trainingjob.tabular.predicted import Predicted


def classes_of(table: Table) -> tuple[Floats, tuple[str, ...]]:
    """The place of each row's class, and the classes in order: numbers by value, false before true, texts by letters.

    Raises:
        TrainingError: exit code 3, when a target is missing, is no class, or there are too few rows of a class.
    """
    column = table.target
    assert column is not None
    values = column.values
    missing = np.flatnonzero(np.isnan(values))
    if len(missing) > 0:
        raise bad_data(
            f'{table.where(int(missing[0]))}, target column "{column.name}" holds nothing; write its class or leave the row out'
        )
    if column.kind == "Date":
        raise bad_data(f'{table.source}: the target column "{column.name}" holds dates; choose a column of classes')
    broken = np.flatnonzero(values != np.floor(values))
    if len(broken) > 0:
        row = int(broken[0])
        raise bad_data(
            f'{table.where(row)}, target column "{column.name}" holds {column.text(row)}, which is no class; write whole numbers or '
            "texts, or choose a regression"
        )
    found, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    rows = [int(np.flatnonzero(places == place)[0]) for place in range(len(found))]
    classes = tuple(column.text(row) for row in rows)
    if len(classes) < 2:
        raise bad_data(
            f'{table.source}: every row has {classes[0]} in the target column "{column.name}"; rows of other classes are needed'
        )
    single = np.flatnonzero(counts == 1)
    if len(single) > 0:
        place = int(single[0])
        raise bad_data(
            f'{table.where(rows[place])} is the only row of class "{classes[place]}" in the target column "{column.name}"; add rows of '
            "that class, or leave the row out"
        )
    return places.astype(np.float64), classes


def log_loss_of(truth: Floats, predicted: Predicted) -> float:
    probabilities = predicted.probabilities
    assert probabilities is not None
    return float(log_loss(truth, probabilities, labels=list(range(probabilities.shape[1]))))


def accuracy_of(truth: Floats, predicted: Predicted) -> float:
    return float(accuracy_score(truth, predicted.values))


def class_report(truth: Floats, predicted: Predicted, classes: tuple[str, ...], average: str) -> dict[str, Any]:
    """Accuracy, log loss, precision, recall, F1, confusion matrix (rows: truth) and the figures of each class.

    Args:
        average: `binary` for those of the second class, `macro` for the mean over classes.
    """
    places = list(range(len(classes)))
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted.values, labels=None if average == "binary" else places, average=average, zero_division=0
    )
    # By place: a class may be called "accuracy" or "macro avg".
    each = precision_recall_fscore_support(truth, predicted.values, labels=places, average=None, zero_division=0)
    return {
        "accuracy": accuracy_of(truth, predicted),
        "log_loss": log_loss_of(truth, predicted),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "confusion_matrix": confusion_matrix(truth, predicted.values, labels=places).tolist(),
        "classes": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "rows": int(rows)}
            for name, p, r, f, rows in zip(classes, *each, strict=True)
        },
    }


def calibration_of(outcome: Floats, probability: Floats, bins: int = 10) -> list[dict[str, float]]:
    """For each tenth of probability that has rows: their number, mean probability, and share of rows in which it came true."""
    edges = np.minimum((probability * bins).astype(int), bins - 1)
    return [
        {
            "rows": int(np.sum(edges == edge)),
            "probability": float(np.mean(probability[edges == edge])),
            "share": float(np.mean(outcome[edges == edge])),
        }
        for edge in range(bins)
        if np.any(edges == edge)
    ]

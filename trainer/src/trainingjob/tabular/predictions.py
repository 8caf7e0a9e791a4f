"""Predictions as a file: one line for each row, in the order of the rows."""

import csv
from pathlib import Path

import numpy as np

from trainingjob.tabular.predicted import Predicted


def write_predictions(
    path: Path, predicted: Predicted, classes: tuple[str, ...], gaps: frozenset[int] = frozenset()
) -> None:
    """Writes `prediction`, and the probability of each class in a classification. Numbers read back the same.

    Args:
        gaps: Places at which a row could not be predicted for; their cells are empty.
    """
    probabilities = predicted.probabilities
    names = ["prediction", *(f"probability of {name}" for name in classes)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        taken = iter(range(len(predicted.values)))
        for place in range(len(predicted.values) + len(gaps)):
            if place in gaps:
                writer.writerow([""] * len(names))
                continue
            row = next(taken)
            value = float(predicted.values[row])
            if probabilities is None:
                writer.writerow([repr(value)])
            else:
                shares = np.asarray(probabilities[row], dtype=np.float64)
                writer.writerow([classes[int(value)], *(repr(float(share)) for share in shares)])

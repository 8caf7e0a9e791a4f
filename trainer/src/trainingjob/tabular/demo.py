"""Data for a demonstration: a bundled set of scikit-learn's as CSV, or any number of rows of a seeded generator in its place,
for runs that take longer.

    python -m trainingjob.tabular.demo --out FILE [--data NAME] [--rows N]
"""

import argparse
import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_classification,
    make_regression,
)


@dataclass(frozen=True)
class Data:
    """`classes` is their number, 0 for a regression."""

    load: Callable[[], Any]
    target: str
    classes: int
    above_median: bool = False


DATA = {
    "above_median": Data(load_diabetes, "above_median", 2, above_median=True),
    "diabetes": Data(load_diabetes, "progression", 0),
    "breast_cancer": Data(load_breast_cancer, "benign", 2),
    "wine": Data(load_wine, "grower", 3),
    "digits": Data(load_digits, "digit", 10),
}


def main(arguments: list[str]) -> int:
    """Writes the file; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trainingjob.tabular.demo", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", choices=DATA, default="above_median", help="whose columns and target they are")
    parser.add_argument(
        "--rows", type=int, help="rows of generated data with such a target instead of the bundled ones"
    )
    options = parser.parse_args(arguments)
    if options.rows is not None and options.rows < 50:
        parser.error(f"--rows must be at least 50, not {options.rows}")
    data = DATA[options.data]
    names, x, y = _bundled(data) if options.rows is None else _generated(data, options.rows)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, data.target])
        writer.writerows(
            [*(repr(float(value)) for value in row), target] for row, target in zip(x, y.tolist(), strict=True)
        )
    return 0


def _bundled(data: Data) -> tuple[list[str], Any, Any]:
    found = data.load()
    y = (found.target > np.median(found.target)).astype(int) if data.above_median else found.target
    return list(found.feature_names), found.data, y


def _generated(data: Data, rows: int) -> tuple[list[str], Any, Any]:
    shape: dict[str, Any] = {"n_features": 170, "n_informative": 70, "random_state": 42}
    if data.classes == 0:
        x, y = make_regression(rows, noise=20.0, **shape)
    else:
        x, y = make_classification(rows, n_classes=data.classes, flip_y=0.15, class_sep=0.7, **shape)
    return [f"feature_{index}" for index in range(x.shape[1])], x, y


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

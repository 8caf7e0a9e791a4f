"""Data for a demonstration: scikit-learn's diabetes patients, is the disease's progress above the median? Or any number of
rows of a seeded generator, for runs that take longer.

    python -m trainingjob.tabular.demo --out FILE [--rows N]
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes, make_classification


def main(arguments: list[str]) -> int:
    """Writes the file; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trainingjob.tabular.demo", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, help="rows of generated data instead of the 442 patients")
    options = parser.parse_args(arguments)
    if options.rows is not None and options.rows < 50:
        parser.error(f"--rows must be at least 50, not {options.rows}")
    if options.rows is None:
        patients = load_diabetes()
        names, x = list(patients.feature_names), patients.data
        y = (patients.target > np.median(patients.target)).astype(int)
    else:
        x, y = make_classification(
            options.rows, n_features=170, n_informative=70, flip_y=0.15, class_sep=0.7, random_state=42
        )
        names = [f"feature_{index}" for index in range(x.shape[1])]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "above_median"])
        writer.writerows([*(repr(float(value)) for value in row), int(label)] for row, label in zip(x, y, strict=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

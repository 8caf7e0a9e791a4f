"""Which rows are trained on, which choose the best step, and which nothing is chosen by."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split

from trainingjob.datafile import bad_data

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Indices of a table's rows. Without a test part `test` is `held_out`: then the rows that chose the best step are also those
    that the result is measured on."""

    train: Rows
    held_out: Rows
    test: Rows
    has_test: bool


def split_rows(
    y: npt.NDArray[np.float64], rows: Rows, eval_share: float, test_share: float, seed: int, *, stratified: bool
) -> Split:
    """Splits rows, stratified by target for a classification; the same seed gives the same parts.

    Args:
        y: The target of every row of the table.
        rows: Those that may be used.
        eval_share, test_share: Shares of `rows`; a test share of 0 means none.

    Raises:
        TrainingError: exit code 3, when a part would be empty or lack one of the classes.
    """
    rest, test = rows, rows[:0]
    if test_share > 0:
        rest, test = _parts(y, rest, _count(rows, test_share), seed, f"testSplit {test_share:g}", stratified=stratified)
    train, held_out = _parts(
        y, rest, _count(rows, eval_share), seed, f"evalSplit {eval_share:g}", stratified=stratified
    )
    split = Split(train, held_out, test if test_share > 0 else held_out, test_share > 0)
    if stratified:
        _check_classes(y, rows, split)
    return split


def _count(rows: Rows, share: float) -> int:
    return math.ceil(len(rows) * share)


def _parts(
    y: npt.NDArray[np.float64], rows: Rows, count: int, seed: int, field: str, *, stratified: bool
) -> tuple[Rows, Rows]:
    try:
        kept, taken = train_test_split(
            rows, test_size=count, random_state=seed, stratify=y[rows] if stratified else None
        )
    except ValueError as error:
        raise bad_data(f"{len(rows)} rows cannot be split with {field}: {error}; add rows or change it") from error
    return kept, taken


def _check_classes(y: npt.NDArray[np.float64], rows: Rows, split: Split) -> None:
    wanted = len(np.unique(y[rows]))
    for part, chosen in (("training", split.train), ("held-out", split.held_out), ("test", split.test)):
        found = len(np.unique(y[chosen]))
        if found < wanted:
            what = "would all be of one class" if found == 1 else f"would lack {wanted - found} of {wanted} classes"
            raise bad_data(
                f"with this split the {len(chosen)} {part} rows {what}; add rows of the rarer classes, or change evalSplit "
                "or testSplit"
            )

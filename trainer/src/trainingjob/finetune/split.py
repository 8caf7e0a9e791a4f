"""Held-out rows: chosen by a seed, and never the same as a row that is trained on."""

import json
import random
from dataclasses import dataclass

from trainingjob.datafile import bad_data
from trainingjob.finetune.rows import Row


@dataclass(frozen=True)
class Split:
    """Indices of rows, each part in the order of the shuffle."""

    train: list[int]
    held_out: list[int]


def split_rows(rows: list[Row], share: float, seed: int, source: str) -> Split:
    """Shuffles, and holds out the share that was asked for, at least one row. Rows that are equal stay together: one that
    is held out would tell nothing if its double was trained on.

    Raises:
        TrainingError: exit code 3, when nothing would be left to train on.
    """
    doubles: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        doubles.setdefault(json.dumps(row, sort_keys=True), []).append(index)
    shuffled = list(doubles.values())
    random.Random(seed).shuffle(shuffled)
    wanted = max(1, round(len(rows) * share))
    held_out: list[int] = []
    train: list[int] = []
    for group in shuffled:
        (held_out if len(held_out) < wanted else train).extend(group)
    if not train:
        raise bad_data(
            f"{source} has {len(rows)} rows, {len(doubles)} of them different; with evalSplit {share} none is left to train on; "
            "add rows or lower trainer.fineTune.dataset.evalSplit"
        )
    return Split(train=train, held_out=held_out)

"""What a model says of some rows."""

from dataclasses import dataclass

import numpy as np

from trainingjob.tabular.data.column import Floats


@dataclass(frozen=True)
class Predicted:
    """`values` is (rows,): numbers of a regression, places of classes otherwise. `probabilities` is (rows, classes), and None for
    a regression."""

    values: Floats
    probabilities: Floats | None = None


def of_classes(probabilities: Floats) -> Predicted:
    """The class of highest probability; of two classes the second needs more than half. They sum to 1 but for what single
    precision took away."""
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    return Predicted(np.argmax(probabilities, axis=1).astype(np.float64), probabilities)


def of_two(second: Floats) -> Predicted:
    """From the probabilities of the second of two classes."""
    second = np.asarray(second, dtype=np.float64)
    return of_classes(np.column_stack([1 - second, second]))

"""How much each input counts, for models whose library has no measure of its own: what the loss gains when the input's values are
dealt out among the rows anew."""

import numpy as np

from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.inputs import whole
from trainingjob.tabular.families.family import Predictor
from trainingjob.tabular.prepare import Part
from trainingjob.tabular.tasks.task import Task

# Each input is one prediction more for each row.
_MOST_PREDICTIONS = 100_000
_LEAST_ROWS, _MOST_ROWS = 20, 2000


def permuted(task: Task, model: Predictor, part: Part, seed: int) -> tuple[str, Floats]:
    """The measure's name and the figures, (inputs,): 0 for one that the model does without. Of many rows, some are taken; the same
    seed takes the same ones."""
    chance = np.random.default_rng(seed)
    inputs = part.x.shape[1]
    wanted = min(_MOST_ROWS, max(_LEAST_ROWS, _MOST_PREDICTIONS // inputs))
    rows = np.sort(chance.permutation(len(part.y))[:wanted])
    x, y = whole(part.x)[rows], part.y[rows]
    before = task.loss(y, model.predict(x))
    gains = np.zeros(inputs)
    for column in range(inputs):
        dealt = x.copy()
        dealt[:, column] = chance.permutation(x[:, column])
        gains[column] = task.loss(y, model.predict(dealt)) - before
    return "what the loss gains when its values are shuffled", gains

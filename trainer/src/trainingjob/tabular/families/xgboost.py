"""XGBoost's booster, made so that a run that goes on from a file gives what it would have given without a break."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.inputs import Inputs, StoredMatrix, chunks
from trainingjob.tabular.devices import Build
from trainingjob.tabular.families.family import Problem, Sample, plain_names
from trainingjob.tabular.predicted import Predicted, of_classes, of_two

SEGMENTED = False

_SEEDS = 2**31
_OBJECTIVES = {
    "regression": "reg:squarederror",
    "binary_classification": "binary:logistic",
    "multiclass_classification": "multi:softprob",
}


def builds() -> frozenset[Build]:
    if not xgb.build_info().get("USE_CUDA"):
        return frozenset()
    # Where CUDA does not answer, such as with a driver that is too old, it goes on with the CPU and says so in its configuration alone.
    rows = xgb.DMatrix(np.arange(8.0).reshape(4, 2), label=np.arange(4.0))
    booster = xgb.Booster({"device": "cuda"}, [rows])
    try:
        booster.update(rows, 0)
        used = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    except xgb.core.XGBoostError:
        return frozenset()
    return frozenset({"CUDA"}) if str(used).startswith("cuda") else frozenset()


def begin(problem: Problem, model: Path | None, step: int = 0) -> "Boosting":
    names = plain_names(problem.names, "[]<")
    kinds = ["c" if index in problem.categorical else "q" for index in range(len(names))]
    train = problem.train
    if problem.device.how == "CUDA" and not isinstance(train.x, StoredMatrix):
        # A GPU makes bins of its own.
        rows = xgb.DMatrix(
            train.x,
            label=train.y,
            weight=train.weight,
            feature_names=names,
            feature_types=kinds,
            enable_categorical=True,
        )
    else:
        # From the same parts wherever the rows lie, so that the bins are the same and the model with them.
        rows = xgb.QuantileDMatrix(_Parts(train, names, kinds), enable_categorical=True)
    booster = xgb.Booster(_parameters(problem), [rows], model_file=None if model is None else str(model))
    return Boosting(booster, problem, rows)


def load(path: Path, task: str, classes: int) -> "Boosted":
    booster = xgb.Booster(model_file=str(path))
    return Boosted(booster, task, list(booster.feature_names or []), list(booster.feature_types or []))


class _Parts(xgb.DataIter):
    """Rows to train on, a part at a time."""

    def __init__(self, train: Sample, names: list[str], kinds: list[str]) -> None:
        self._train, self._names, self._kinds = train, names, kinds
        self._left = chunks(train.x)
        super().__init__()

    def reset(self) -> None:
        self._left = chunks(self._train.x)

    def next(self, input_data: Any) -> bool:
        start, part = next(self._left, (0, None))
        if part is None:
            return False
        rows, train = slice(start, start + len(part)), self._train
        weight = None if train.weight is None else train.weight[rows]
        input_data(data=part, label=train.y[rows], weight=weight, feature_names=self._names, feature_types=self._kinds)
        return True


class Boosted:
    """A booster that is asked."""

    def __init__(self, booster: Any, task: str, names: list[str], kinds: list[str]) -> None:
        self._booster, self._task, self._names, self._kinds = booster, task, names, kinds

    def predict(self, x: Inputs) -> Predicted:
        found = np.asarray(self._ask(x), dtype=np.float64)
        if self._task == "regression":
            return Predicted(found)
        return of_two(found) if self._task == "binary_classification" else of_classes(found)

    def _ask(self, x: Inputs) -> Any:
        return np.concatenate([self._booster.predict(self._rows_of(part)) for _, part in chunks(x)])

    def _rows_of(self, x: Floats) -> Any:
        return xgb.DMatrix(x, feature_names=self._names, feature_types=self._kinds, enable_categorical=True)

    def importance(self) -> tuple[str, Floats]:
        gains = self._booster.get_score(importance_type="total_gain")
        return "total gain", np.array([float(gains.get(name, 0)) for name in self._names])


class Boosting(Boosted):
    """A booster that is trained."""

    def __init__(self, booster: Any, problem: Problem, rows: Any) -> None:
        super().__init__(booster, problem.task, rows.feature_names, rows.feature_types)
        self._rows, self._seed = rows, int(problem.parameters["random_state"])
        self._matrices: list[tuple[Inputs, Any]] = [(problem.train.x, rows)]

    @property
    def done(self) -> int:
        return int(self._booster.num_boosted_rounds())

    def advance(self, to: int) -> None:
        for step in range(self.done + 1, to + 1):
            self._boost(step)

    def save(self, path: Path) -> None:
        self._booster.save_model(str(path))

    def _ask(self, x: Inputs) -> Any:
        # Kept: the booster remembers what its trees so far say of a matrix that it has seen.
        for known, matrix in self._matrices:
            if known is x:
                return self._booster.predict(matrix)
        if isinstance(x, StoredMatrix):
            return super()._ask(x)
        self._matrices.append((x, self._rows_of(x)))
        return self._booster.predict(self._matrices[-1][1])

    def _boost(self, step: int) -> None:
        """Trains one round, numbered from 1. Its chances depend on the seed and the round alone, never on earlier rounds.

        XGBoost draws which rows and columns a tree sees from generators that live as long as the process, so a booster that
        was loaded would draw others. A new seed begins the rows' generator anew; leaving the tree method and coming back, the
        columns'.
        """
        # Times a large prime: neighbouring seeds must not share rounds.
        seed = (self._seed * 1_000_003 + step - 1) % _SEEDS
        self._booster.set_param({"tree_method": "approx", "seed": seed})
        # Parameters take effect when the booster is asked for something.
        self._booster.save_config()
        self._booster.set_param({"tree_method": "hist"})
        self._booster.update(self._rows, step - 1)


def _parameters(problem: Problem) -> dict[str, Any]:
    chosen = {name: value for name, value in problem.parameters.items() if name not in ("n_estimators", "random_state")}
    classes = {"num_class": problem.classes} if problem.task == "multiclass_classification" else {}
    device = f"cuda:{problem.device.gpus[0]}" if problem.device.how == "CUDA" else "cpu"
    return {"objective": _OBJECTIVES[problem.task], "tree_method": "hist", "device": device, **classes, **chosen}

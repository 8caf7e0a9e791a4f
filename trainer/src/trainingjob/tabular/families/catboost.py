"""CatBoost, trained in segments that each go on from the model so far, so that a run that goes on from a file goes the same way
as one without a break."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import catboost as cb
import numpy as np
import pandas as pd
from catboost.utils import get_gpu_device_count

from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.inputs import Inputs, whole
from trainingjob.tabular.devices import Build, Device
from trainingjob.tabular.families.family import Problem, threads
from trainingjob.tabular.predicted import Predicted, of_classes, of_two

SEGMENTED = True

_SEEDS = 2**31
_LOSSES = {"regression": "RMSE", "binary_classification": "Logloss", "multiclass_classification": "MultiClass"}


def builds() -> frozenset[Build]:
    return frozenset({"CUDA"}) if get_gpu_device_count() > 0 else frozenset()


def begin(problem: Problem, model: Path | None, step: int = 0) -> "Boosting":
    return Boosting(problem, None if model is None else _model(model))


def load(path: Path, task: str, classes: int) -> "Boosted":
    return Boosted(_model(path), task, ())


def _model(path: Path) -> Any:
    try:
        return cb.CatBoost().load_model(str(path))
    except cb.CatBoostError as error:
        raise ValueError(str(error)) from error


class Boosted:
    """A model that is asked."""

    def __init__(self, model: Any, task: str, categorical: tuple[int, ...]) -> None:
        self._model, self._task = model, task
        self._categorical = categorical if model is None else tuple(model.get_cat_feature_indices())

    def predict(self, x: Inputs) -> Predicted:
        x = whole(x)
        rows = _frame(x, self._categorical)
        if self._task == "regression":
            return Predicted(np.asarray(self._model.predict(rows, thread_count=threads()), dtype=np.float64))
        found = np.asarray(
            self._model.predict(rows, prediction_type="Probability", thread_count=threads()), dtype=np.float64
        )
        return of_two(found[:, 1]) if self._task == "binary_classification" else of_classes(found)

    def importance(self) -> tuple[str, Floats]:
        found = self._model.get_feature_importance(type="PredictionValuesChange")
        return "change of the prediction", np.asarray(found, dtype=np.float64)


class Boosting(Boosted):
    """A model that is trained; it is None before the first round."""

    def __init__(self, problem: Problem, model: Any) -> None:
        super().__init__(model, problem.task, problem.categorical)
        self._parameters = _parameters(problem)
        self._on_gpu = problem.device.how == "CUDA"
        self._seed = int(problem.parameters["random_state"])
        train = problem.train
        self._rows = cb.Pool(
            _frame(whole(train.x), problem.categorical),
            label=train.y if problem.task == "regression" else train.y.astype(np.int64),
            weight=train.weight,
            cat_features=list(problem.categorical),
        )

    @property
    def done(self) -> int:
        return 0 if self._model is None else int(self._model.tree_count_)

    def advance(self, to: int) -> None:
        # A seed for each segment, from the seed of the run: every segment begins its generator anew.
        seed = (self._seed * 1_000_003 + self.done) % _SEEDS
        parameters = {**self._parameters, "iterations": to - self.done, "random_state": seed}
        if self._model is not None and self._task == "regression":
            # The trees so far hold the average already.
            parameters["boost_from_average"] = False
        if self._on_gpu:
            model = added(self._model, self._rows, parameters)
        else:
            model = cb.CatBoost(parameters)
            model.fit(self._rows, init_model=self._model)
        # Through a file, as a checkpoint would: a model that was just trained remembers more than is stored of it, and goes on
        # differently.
        with tempfile.TemporaryDirectory(prefix="catboost-") as folder:
            path = Path(folder) / "model.cbm"
            model.save_model(str(path))
            self._model = _model(path)

    def save(self, path: Path) -> None:
        self._model.save_model(str(path))


def added(model: Any, rows: Any, parameters: Mapping[str, Any]) -> Any:
    """The model with a segment more. On GPUs CatBoost does not go on from a model: there a segment learns what the model so far
    leaves, and its trees are put behind those of the model."""
    segment = cb.CatBoost(dict(parameters))
    if model is None:
        return segment.fit(rows)
    rows.set_baseline(model.predict(rows, prediction_type="RawFormulaVal", thread_count=threads()))
    return cb.sum_models([model, segment.fit(rows)])


def _frame(x: Floats, categorical: tuple[int, ...]) -> Any:
    """CatBoost takes codes of categories as whole numbers only; -1 stands for a text that is missing or was never seen."""
    if not categorical:
        return x
    columns = {
        index: np.where(np.isnan(x[:, index]), -1, x[:, index]).astype(np.int64)
        if index in categorical
        else x[:, index]
        for index in range(x.shape[1])
    }
    return pd.DataFrame(columns)


def _parameters(problem: Problem) -> dict[str, Any]:
    chosen = {**problem.parameters, **problem.device.changed}
    if chosen["bootstrap_type"] not in ("MVS", "Bernoulli"):
        del chosen["subsample"]
    return {
        "loss_function": _LOSSES[problem.task],
        **({"classes_count": problem.classes} if problem.task == "multiclass_classification" else {}),
        "thread_count": threads(),
        **_on_device(problem.device),
        "allow_writing_files": False,
        "verbose": False,
        **chosen,
    }


def _on_device(device: Device) -> dict[str, Any]:
    if device.how == "CPU":
        return {"task_type": "CPU"}
    return {"task_type": "GPU", "devices": ":".join(str(place) for place in device.gpus)}

"""LightGBM's booster, trained in segments: each begins with what the model's text says, so that a run that goes on from a file
goes the same way as one without a break."""

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.devices import Build, Device
from trainingjob.tabular.families.family import Problem, plain_names, threads
from trainingjob.tabular.predicted import Predicted, of_classes, of_two

SEGMENTED = True

_SEEDS = 2**31
_OBJECTIVES = {
    "regression": "regression",
    "binary_classification": "binary",
    "multiclass_classification": "multiclass",
}


def builds() -> frozenset[Build]:
    # The library does not say how it was built, nor whether OpenCL finds the GPUs: one leaf shows both.
    found: set[Build] = set()
    kinds: tuple[tuple[Build, str], ...] = (("CUDA", "cuda"), ("OpenCL", "gpu"))
    for build, kind in kinds:
        rows = lgb.Dataset(np.arange(64.0).reshape(32, 2), label=np.arange(32.0), params={"verbose": -1})
        try:
            lgb.train({"device_type": kind, "num_leaves": 2, "verbose": -1}, rows, num_boost_round=1)
            found.add(build)
        except lgb.basic.LightGBMError:
            continue
    return frozenset(found)


def begin(problem: Problem, model: Path | None) -> "Boosting":
    return Boosting(problem, None if model is None else _booster(model))


def load(path: Path, task: str, classes: int) -> "Boosted":
    return Boosted(_booster(path), task)


def _booster(path: Path) -> Any:
    try:
        return lgb.Booster(model_file=str(path))
    except lgb.basic.LightGBMError as error:
        raise ValueError(str(error)) from error


class Boosted:
    """A booster that is asked."""

    def __init__(self, booster: Any, task: str) -> None:
        self._booster, self._task = booster, task

    def predict(self, x: Floats) -> Predicted:
        found = np.asarray(self._booster.predict(x, num_threads=threads()), dtype=np.float64)
        if self._task == "regression":
            return Predicted(found)
        return of_two(found) if self._task == "binary_classification" else of_classes(found)

    def importance(self) -> tuple[str, Floats]:
        return "total gain", np.asarray(self._booster.feature_importance("gain"), dtype=np.float64)


class Boosting(Boosted):
    """A booster that is trained; it is None before the first round."""

    def __init__(self, problem: Problem, booster: Any) -> None:
        super().__init__(booster, problem.task)
        self._parameters = _parameters(problem)
        self._seed = int(problem.parameters["random_state"])
        train = problem.train
        self._rows = lgb.Dataset(
            train.x,
            label=train.y,
            weight=train.weight,
            # Its JSON has no escapes.
            feature_name=plain_names(problem.names, '",:[]{} '),
            categorical_feature=list(problem.categorical),
            params=self._parameters,
            free_raw_data=False,
        )

    @property
    def done(self) -> int:
        return 0 if self._booster is None else int(self._booster.current_iteration())

    def advance(self, to: int) -> None:
        # A seed for each segment, from the seed of the run: a booster that was loaded begins its generators anew.
        seed = (self._seed * 1_000_003 + self.done) % _SEEDS
        trained = lgb.train(
            {**self._parameters, "seed": seed}, self._rows, num_boost_round=to - self.done, init_model=self._booster
        )
        # Through the text, as a checkpoint would: what is not in it must not count.
        self._booster = lgb.Booster(model_str=trained.model_to_string(num_iteration=-1))

    def save(self, path: Path) -> None:
        self._booster.save_model(str(path), num_iteration=-1)


def _parameters(problem: Problem) -> dict[str, Any]:
    names = {"n_estimators": None, "random_state": None, "max_depth": None}
    chosen = {name: value for name, value in problem.parameters.items() if name not in names}
    depth = problem.parameters["max_depth"]
    return {
        "objective": _OBJECTIVES[problem.task],
        **({"num_class": problem.classes} if problem.task == "multiclass_classification" else {}),
        "max_depth": -1 if depth is None else depth,
        "num_threads": threads(),
        **_on_device(problem.device),
        "verbose": -1,
        **chosen,
    }


def _on_device(device: Device) -> dict[str, Any]:
    if device.how == "CPU":
        # Of CPUs alone it can be had that sums are added in one order.
        return {"device_type": "cpu", "deterministic": True, "force_row_wise": True}
    return {"device_type": "cuda" if device.how == "CUDA" else "gpu", "gpu_device_id": device.gpus[0]}

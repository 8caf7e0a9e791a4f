"""LightGBM's booster, trained in segments: each begins with what the model's text says, so that a run that goes on from a file
goes the same way as one without a break."""

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.inputs import Inputs, StoredMatrix, chunk_rows, chunks
from trainingjob.tabular.devices import Build, Device
from trainingjob.tabular.families.family import Problem, plain_names, threads
from trainingjob.tabular.predicted import Predicted, of_classes, of_two

SEGMENTED = True

_SEEDS = 2**31
# In names: the model is a text of lines, and its JSON has no escapes.
_FORBIDDEN = '",:[]{} \x7f' + "".join(map(chr, range(32)))
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


def begin(problem: Problem, model: Path | None, step: int = 0) -> "Boosting":
    if model is None:
        return Boosting(problem, None, 0)
    booster = _booster(model)
    # A round in which no leaf can be split leaves no tree.
    if booster.current_iteration() > step:
        raise ValueError(f"it has trees of {booster.current_iteration()} rounds and was stored at step {step}")
    return Boosting(problem, booster, step)


def load(path: Path, task: str, classes: int) -> "Boosted":
    return Boosted(_booster(path), task)


def _booster(path: Path) -> Any:
    try:
        return lgb.Booster(model_file=str(path))
    except lgb.basic.LightGBMError as error:
        raise ValueError(str(error)) from error


class _Stored(lgb.Sequence):
    """Rows on disk, as the library reads them: some by themselves, to choose its bins, and then all in parts."""

    def __init__(self, x: StoredMatrix) -> None:
        self.x, self.batch_size = x, chunk_rows(x.shape[1])

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Any) -> Floats:
        if isinstance(index, slice):
            return self.x.rows(*index.indices(len(self.x))[:2])
        row: Floats = self.x.rows(index, index + 1)[0]
        return row


class _Rows(lgb.Dataset):
    """Rows to train on. Of those on disk, the library itself cannot ask the model that it goes on from."""

    def _set_init_score_by_predictor(self, predictor: Any, data: Any, used_indices: Any) -> Any:
        if predictor is None or not isinstance(data, _Stored):
            return super()._set_init_score_by_predictor(predictor, data, used_indices)
        scores = np.concatenate([predictor.predict(part, raw_score=True) for _, part in chunks(data.x)])
        # Class by class.
        return self.set_init_score(scores.reshape(len(data), -1).T.ravel())


class Boosted:
    """A booster that is asked."""

    def __init__(self, booster: Any, task: str) -> None:
        self._booster, self._task = booster, task

    def predict(self, x: Inputs) -> Predicted:
        parts = [self._booster.predict(part, num_threads=threads()) for _, part in chunks(x)]
        found = np.asarray(np.concatenate(parts), dtype=np.float64)
        if self._task == "regression":
            return Predicted(found)
        return of_two(found) if self._task == "binary_classification" else of_classes(found)

    def importance(self) -> tuple[str, Floats]:
        return "total gain", np.asarray(self._booster.feature_importance("gain"), dtype=np.float64)


class Boosting(Boosted):
    """A booster that is trained; it is None before the first round. `done` counts rounds, of which it may have fewer."""

    def __init__(self, problem: Problem, booster: Any, done: int) -> None:
        super().__init__(booster, problem.task)
        self.done = done
        self._parameters = _parameters(problem)
        self._seed = int(problem.parameters["random_state"])
        train = problem.train
        self._rows = _Rows(
            _Stored(train.x) if isinstance(train.x, StoredMatrix) else train.x,
            label=train.y,
            weight=train.weight,
            feature_name=plain_names(problem.names, _FORBIDDEN),
            categorical_feature=list(problem.categorical),
            params=self._parameters,
            free_raw_data=False,
        )

    def advance(self, to: int) -> None:
        # A seed for each segment, from the seed of the run: a booster that was loaded begins its generators anew.
        seed = (self._seed * 1_000_003 + self.done) % _SEEDS
        trained = lgb.train(
            {**self._parameters, "seed": seed}, self._rows, num_boost_round=to - self.done, init_model=self._booster
        )
        # Through the text, as a checkpoint would: what is not in it must not count.
        self._booster = lgb.Booster(model_str=trained.model_to_string(num_iteration=-1))
        self.done = to

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

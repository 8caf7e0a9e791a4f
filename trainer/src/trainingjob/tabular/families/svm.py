"""scikit-learn's support vector machines. The class is the machine's own; probabilities come from a sigmoid that is fitted to what
it says of rows that it was not trained on."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC, SVR

from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.inputs import whole
from trainingjob.tabular.devices import Build
from trainingjob.tabular.families.family import Problem
from trainingjob.tabular.families.fitted import Fitted, Fitting, load_trusted
from trainingjob.tabular.predicted import Predicted

SEGMENTED = False

_FOLDS = 5
_TRUSTED = ["sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration"]


def builds() -> frozenset[Build]:
    return frozenset()


def begin(problem: Problem, model: Path | None, step: int = 0) -> Fitting:
    return Fitting(None if model is None else _load(model), _ask, _importance, lambda: _fit(problem))


def load(path: Path, task: str, classes: int) -> Fitted:
    return Fitted(_load(path), _ask, _importance)


def _fit(problem: Problem) -> Any:
    chosen = {"C" if name == "c" else name: value for name, value in problem.parameters.items()}
    seed = chosen.pop("random_state")
    train = problem.train
    if problem.task == "regression":
        return SVR(**chosen).fit(whole(train.x), train.y, sample_weight=train.weight)
    del chosen["epsilon"]
    _, counts = np.unique(train.y, return_counts=True)
    folds = StratifiedKFold(max(2, min(_FOLDS, int(counts.min()))), shuffle=True, random_state=seed)
    machine = CalibratedClassifierCV(SVC(**chosen, random_state=seed), method="sigmoid", cv=folds, ensemble=False)
    machine.fit(whole(train.x), train.y, sample_weight=train.weight)
    # The folds are no part of what was learnt.
    machine.cv = None
    return machine


def _load(path: Path) -> Any:
    machine = load_trusted(path, _TRUSTED)
    if not isinstance(machine, (SVR, CalibratedClassifierCV)):
        raise ValueError(f"{path.name} is no support vector machine")
    return machine


def _ask(machine: Any, x: Floats) -> Predicted:
    if isinstance(machine, SVR):
        return Predicted(np.asarray(machine.predict(x), dtype=np.float64))
    own = machine.calibrated_classifiers_[0].estimator.predict(x)
    return Predicted(np.asarray(own, dtype=np.float64), np.asarray(machine.predict_proba(x), dtype=np.float64))


def _importance(machine: Any) -> None:
    return None

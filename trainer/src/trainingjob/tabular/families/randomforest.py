"""scikit-learn's random forest."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.inputs import whole
from trainingjob.tabular.devices import Build
from trainingjob.tabular.families.family import Problem, threads
from trainingjob.tabular.families.fitted import Fitted, Fitting, load_trusted
from trainingjob.tabular.predicted import Predicted, of_classes

SEGMENTED = False


def builds() -> frozenset[Build]:
    return frozenset()


def begin(problem: Problem, model: Path | None, step: int = 0) -> Fitting:
    def fit() -> Any:
        forest = _forest(problem)
        train = problem.train
        forest.fit(whole(train.x), train.y, sample_weight=train.weight)
        # Several threads would add up the trees in an order of their own, and the last digits with it.
        forest.n_jobs = 1
        return forest

    return Fitting(None if model is None else _load(model), _ask, _importance, fit)


def load(path: Path, task: str, classes: int) -> Fitted:
    return Fitted(_load(path), _ask, _importance)


def _forest(problem: Problem) -> Any:
    chosen = dict(problem.parameters)
    regression = problem.task == "regression"
    if chosen["max_features"] == "auto":
        chosen["max_features"] = 1.0 if regression else "sqrt"
    made = RandomForestRegressor if regression else RandomForestClassifier
    return made(**chosen, n_jobs=threads())


def _load(path: Path) -> Any:
    forest = load_trusted(path, ["sklearn.tree._tree.Tree"])
    # A tree's nodes name each other by their places, and scikit-learn follows them unchecked.
    try:
        for estimator in forest.estimators_:
            tree = estimator.tree_
            for children in (tree.children_left, tree.children_right):
                if np.any(children >= tree.node_count) or np.any(children < -1):
                    raise ValueError(f"{path.name} has a tree with nodes that do not exist")
            if np.any(tree.feature >= forest.n_features_in_):
                raise ValueError(f"{path.name} has a tree with columns that do not exist")
    except AttributeError as error:
        raise ValueError(f"{path.name} is no random forest: {error}") from error
    return forest


def _ask(forest: Any, x: Floats) -> Predicted:
    if isinstance(forest, RandomForestRegressor):
        return Predicted(np.asarray(forest.predict(x), dtype=np.float64))
    return of_classes(np.asarray(forest.predict_proba(x), dtype=np.float64))


def _importance(forest: Any) -> tuple[str, Floats]:
    return "decrease of impurity", np.asarray(forest.feature_importances_, dtype=np.float64)

"""The libraries by themselves, with nothing of the trainer in between: what a type must come up to.

python -m tests.direct MODEL_TYPE FILE.csv TARGET
"""

import csv
import sys
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import xgboost
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

# Without chance that depends on how a run is cut into segments; the names are those of the job.
PARAMETERS: dict[str, dict[str, Any]] = {
    "xgboost": {"nEstimators": 60, "maxDepth": 3, "learningRate": "0.1", "subsample": "1", "colsampleBytree": "1"},
    "lightgbm": {
        "nEstimators": 60,
        "numLeaves": 7,
        "learningRate": "0.1",
        "featureFraction": "1",
        "baggingFraction": "1",
        "minDataInLeaf": 5,
    },
    "catboost": {
        "iterations": 100,
        "depth": 4,
        "learningRate": "0.1",
        "bootstrapType": "No",
        "rsm": "1",
        "randomStrength": "0",
    },
    "random_forest": {"nEstimators": 60, "minSamplesLeaf": 2, "randomState": 1},
    "svm": {"c": "5", "gamma": "scale"},
}


def direct_metric(model_type: str, file: Path, target: str) -> float:
    """Accuracy, or R², on the same held-out fifth."""
    family = next(name for name in PARAMETERS if model_type.startswith(f"{name}_"))
    regression = model_type.endswith("_regression")
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    names = [name for name in rows[0] if name != target]
    x = np.array([[float(row[name]) for name in names] for row in rows])
    y = np.array([float(row[target]) for row in rows])
    split = train_test_split(x, y, test_size=0.2, random_state=42, stratify=None if regression else y)
    train_x, test_x, train_y, test_y = split
    model = _model(family, regression=regression)
    model.fit(train_x, train_y)
    predicted = np.asarray(model.predict(test_x)).ravel()
    return float(r2_score(test_y, predicted) if regression else accuracy_score(test_y, predicted))


def _model(family: str, *, regression: bool) -> Any:
    if family == "xgboost":
        made = xgboost.XGBRegressor if regression else xgboost.XGBClassifier
        return made(n_estimators=60, max_depth=3, learning_rate=0.1, subsample=1, colsample_bytree=1)
    if family == "lightgbm":
        made = lightgbm.LGBMRegressor if regression else lightgbm.LGBMClassifier
        return made(n_estimators=60, num_leaves=7, learning_rate=0.1, min_child_samples=5, n_jobs=1, verbose=-1)
    if family == "catboost":
        made = catboost.CatBoostRegressor if regression else catboost.CatBoostClassifier
        chosen = {"bootstrap_type": "No", "random_strength": 0, "allow_writing_files": False, "verbose": False}
        return made(iterations=100, depth=4, learning_rate=0.1, **chosen)
    if family == "random_forest":
        made = RandomForestRegressor if regression else RandomForestClassifier
        return made(n_estimators=60, min_samples_leaf=2, random_state=1)
    return make_pipeline(StandardScaler(), SVR(C=5) if regression else SVC(C=5))


if __name__ == "__main__":
    sys.stdout.write(f"{direct_metric(sys.argv[1], Path(sys.argv[2]), sys.argv[3])}\n")

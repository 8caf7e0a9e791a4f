"""The libraries by themselves, with nothing of the trainer in between: what a type must come up to.

python -m tests.direct MODEL_TYPE FILE.csv TARGET
"""

import csv
import os
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
    # All rows in each batch, so that their order does not count.
    "keras": {
        "layers": [
            {"type": "Dense", "units": 16, "activation": "relu"},
            {"type": "Dense", "units": 8, "activation": "tanh"},
        ],
        "learningRate": "0.02",
        "batchSize": 2000,
        "epochs": 60,
        "randomState": 1,
    },
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
    if family == "keras":
        return _network(model_type, *split)
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


def _network(model_type: str, train_x: Any, test_x: Any, train_y: Any, test_y: Any) -> float:
    """Keras with scaled columns, and a scaled target of a regression; the weights begin with the trainer's seeds."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    def glorot(layer: int) -> Any:
        return keras.initializers.GlorotUniform(seed=1_000_003 + layer)

    regression, binary = model_type.endswith("_regression"), model_type.endswith("_binary_classification")
    target = StandardScaler()
    y = target.fit_transform(train_y.reshape(-1, 1)).ravel() if regression else train_y
    last, loss = ("linear", "mse") if regression else ("sigmoid", "binary_crossentropy")
    outputs = 1
    if not regression and not binary:
        outputs, last, loss = len(np.unique(train_y)), "softmax", "sparse_categorical_crossentropy"
    model = keras.Sequential(
        [
            keras.layers.Dense(16, "relu", kernel_initializer=glorot(1)),
            keras.layers.Dense(8, "tanh", kernel_initializer=glorot(2)),
            keras.layers.Dense(outputs, last, kernel_initializer=glorot(0)),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), loss=loss)
    columns = StandardScaler().fit(train_x)
    model.fit(columns.transform(train_x), y, batch_size=2000, epochs=60, verbose=0)
    found = model.predict(columns.transform(test_x), verbose=0)
    if regression:
        return float(r2_score(test_y, target.inverse_transform(found).ravel()))
    return float(accuracy_score(test_y, found.ravel() > 0.5 if binary else found.argmax(axis=1)))


if __name__ == "__main__":
    sys.stdout.write(f"{direct_metric(sys.argv[1], Path(sys.argv[2]), sys.argv[3])}\n")

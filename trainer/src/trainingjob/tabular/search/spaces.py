"""Where the parameters of each family are looked for when a job does not say it. The number of rounds is not among them: the best
round of each trial is found by its evaluations, and more trees of a forest do not make it worse. The operator has the same
(api/searchspaces.ts), so that status can show them; a test compares."""

from collections.abc import Mapping
from typing import Any

SPACES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "xgboost": (
        {"name": "maxDepth", "low": 3, "high": 10},
        {"name": "learningRate", "low": "0.01", "high": "0.3", "log": True},
        {"name": "subsample", "low": "0.5", "high": "1"},
        {"name": "colsampleBytree", "low": "0.5", "high": "1"},
        {"name": "minChildWeight", "low": "0.5", "high": "20", "log": True},
        {"name": "gamma", "low": "0", "high": "5"},
        {"name": "regAlpha", "low": "0.0001", "high": "10", "log": True},
        {"name": "regLambda", "low": "0.01", "high": "100", "log": True},
    ),
    "lightgbm": (
        {"name": "numLeaves", "low": 7, "high": 255, "log": True},
        {"name": "learningRate", "low": "0.01", "high": "0.3", "log": True},
        {"name": "featureFraction", "low": "0.4", "high": "1"},
        {"name": "baggingFraction", "low": "0.4", "high": "1"},
        {"name": "minDataInLeaf", "low": 5, "high": 100, "log": True},
        {"name": "lambdaL1", "low": "0.0001", "high": "10", "log": True},
        {"name": "lambdaL2", "low": "0.0001", "high": "10", "log": True},
    ),
    "catboost": (
        {"name": "depth", "low": 4, "high": 10},
        {"name": "learningRate", "low": "0.01", "high": "0.3", "log": True},
        {"name": "l2LeafReg", "low": "1", "high": "30", "log": True},
        {"name": "subsample", "low": "0.5", "high": "1"},
        {"name": "rsm", "low": "0.5", "high": "1"},
        {"name": "randomStrength", "low": "0.01", "high": "10", "log": True},
    ),
    "random_forest": (
        {"name": "maxDepth", "low": 3, "high": 30},
        {"name": "minSamplesSplit", "low": 2, "high": 20},
        {"name": "minSamplesLeaf", "low": 1, "high": 10},
        {"name": "maxFeatures", "low": "0.1", "high": "1"},
    ),
    "svm": (
        {"name": "c", "low": "0.01", "high": "1000", "log": True},
        {"name": "gamma", "low": "0.0001", "high": "10", "log": True},
        {"name": "epsilon", "low": "0.001", "high": "1", "log": True},
    ),
    "keras": (
        {"name": "learningRate", "low": "0.0001", "high": "0.01", "log": True},
        {"name": "learningRateSchedule", "choices": ["Constant", "CosineDecay"]},
        {"name": "batchSize", "low": 16, "high": 256, "log": True},
    ),
}

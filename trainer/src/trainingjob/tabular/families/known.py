"""The families: what each can be told, and what it can do. Their modules import the libraries; this one does not, because
a configuration is read where they are not installed, too."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainingjob.tabular.data.preprocessing import Encoding, Scaling
from trainingjob.tabular.hyperparameters import (
    MOST_SEED,
    Choice,
    Decimal,
    Flag,
    Hyperparameter,
    Hyperparameters,
    Integer,
    WordOrDecimal,
)
from trainingjob.tabular.layers import Layers


@dataclass(frozen=True)
class Family:
    """`steps` is the parameter that says how many rounds there are, None where a model is fitted at once. `bytes_per_number` is
    the memory that training takes at its height for each cell of the table, as measured and with a fifth on top. `encoding` and
    `scaling` are the defaults. `streams`: it trains on rows that are read from disk a part at a time. `rows_per_class` is how many
    training rows a classification needs of each class."""

    name: str
    library: str
    model_file: str
    hyperparameters: Hyperparameters
    steps: str | None
    bytes_per_number: int
    encoding: Encoding = "OneHot"
    scaling: Scaling = "None"
    native_missing: bool = False
    native_categories: bool = False
    streams: bool = False
    rows_per_class: int = 1


def _family_parameters(*known: Hyperparameter, **presets: dict[str, object]) -> Hyperparameters:
    return Hyperparameters(known, {"Default": {}, **presets} if presets else {})


def _dense(units: int) -> dict[str, object]:
    return {"type": "Dense", "units": units, "activation": "relu", "kernelInitializer": "glorot_uniform"}


_SEED = Integer("randomState", 42, 0, MOST_SEED)

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="xgboost",
            library="xgboost",
            model_file="model.json",
            steps="n_estimators",
            bytes_per_number=50,
            native_missing=True,
            native_categories=True,
            streams=True,
            hyperparameters=_family_parameters(
                Integer("nEstimators", 100, 1, 1_000_000),
                Integer("maxDepth", 6, 1, 64),
                Decimal("learningRate", "0.1", above=True),
                Decimal("subsample", "0.8", above=True, most=1),
                Decimal("colsampleBytree", "0.8", above=True, most=1),
                Decimal("minChildWeight", "1"),
                Decimal("gamma", "0"),
                Decimal("regAlpha", "0"),
                Decimal("regLambda", "1"),
                _SEED,
            ),
        ),
        Family(
            name="lightgbm",
            library="lightgbm",
            model_file="model.txt",
            steps="n_estimators",
            bytes_per_number=30,
            encoding="Native",
            native_missing=True,
            native_categories=True,
            streams=True,
            hyperparameters=_family_parameters(
                Integer("nEstimators", 100, 1, 1_000_000),
                Integer("numLeaves", 31, 2, 131072),
                Integer("maxDepth", None, 1, 64),
                Decimal("learningRate", "0.1", above=True),
                Decimal("featureFraction", "0.8", above=True, most=1),
                Decimal("baggingFraction", "0.8", above=True, most=1),
                Integer("baggingFreq", 1, 0, 1_000_000),
                Integer("minDataInLeaf", 20, 0, 1_000_000_000),
                Decimal("minGainToSplit", "0"),
                Decimal("lambdaL1", "0"),
                Decimal("lambdaL2", "0"),
                _SEED,
                Large={
                    "numLeaves": 63,
                    "learningRate": "0.05",
                    "featureFraction": "0.7",
                    "baggingFraction": "0.7",
                    "baggingFreq": 5,
                    "minDataInLeaf": 100,
                    "minGainToSplit": "0.01",
                    "lambdaL1": "0.1",
                    "lambdaL2": "0.1",
                },
                Fast={
                    "nEstimators": 50,
                    "numLeaves": 15,
                    "featureFraction": "0.7",
                    "baggingFraction": "0.7",
                    "baggingFreq": 2,
                    "minDataInLeaf": 50,
                    "minGainToSplit": "0.05",
                },
                HighAccuracy={
                    "nEstimators": 300,
                    "numLeaves": 50,
                    "learningRate": "0.05",
                    "featureFraction": "0.9",
                    "baggingFraction": "0.9",
                    "minDataInLeaf": 10,
                    "lambdaL1": "0.01",
                    "lambdaL2": "0.01",
                },
            ),
        ),
        Family(
            name="catboost",
            library="catboost",
            model_file="model.cbm",
            steps="iterations",
            bytes_per_number=44,
            encoding="Native",
            native_missing=True,
            native_categories=True,
            hyperparameters=_family_parameters(
                Integer("iterations", 1000, 1, 1_000_000),
                Integer("depth", 6, 1, 16),
                Decimal("learningRate", "0.03", above=True),
                Decimal("l2LeafReg", "3"),
                Choice("bootstrapType", "MVS", ("MVS", "Bernoulli", "Bayesian", "No")),
                Decimal("subsample", "0.8", above=True, most=1),
                Decimal("rsm", "0.8", above=True, most=1),
                Integer("borderCount", 254, 1, 65535),
                Decimal("randomStrength", "1"),
                _SEED,
            ),
        ),
        Family(
            name="random_forest",
            library="scikit-learn",
            model_file="model.skops",
            steps=None,
            bytes_per_number=32,
            hyperparameters=_family_parameters(
                Integer("nEstimators", 100, 1, 100_000),
                Integer("maxDepth", None, 1, 1_000_000),
                Integer("minSamplesSplit", 2, 2, 1_000_000_000),
                Integer("minSamplesLeaf", 1, 1, 1_000_000_000),
                WordOrDecimal("maxFeatures", "auto", ("auto", "sqrt", "log2"), most=1),
                Flag("bootstrap", True),
                _SEED,
            ),
        ),
        Family(
            name="svm",
            library="scikit-learn",
            model_file="model.skops",
            steps=None,
            bytes_per_number=32,
            scaling="Standard",
            # Its probabilities are fitted to rows that it was not trained on.
            rows_per_class=2,
            hyperparameters=_family_parameters(
                Decimal("c", "1", above=True),
                Choice("kernel", "rbf", ("rbf", "linear", "poly", "sigmoid")),
                WordOrDecimal("gamma", "scale", ("scale", "auto")),
                Integer("degree", 3, 0, 100),
                Decimal("coef0", "0", least=-1e38),
                Decimal("epsilon", "0.1"),
                Decimal("tol", "0.001", above=True),
                _SEED,
            ),
        ),
        Family(
            name="keras",
            library="keras",
            model_file="model.keras",
            steps="epochs",
            bytes_per_number=30,
            scaling="Standard",
            hyperparameters=_family_parameters(
                Layers("layers", (_dense(64), _dense(32))),
                Choice("optimizer", "adam", ("adam", "adamw", "nadam", "rmsprop", "sgd")),
                Decimal("learningRate", "0.001", above=True),
                Choice("learningRateSchedule", "Constant", ("Constant", "CosineDecay", "PolynomialDecay")),
                Decimal("weightDecay", "0.004"),
                Decimal("momentum", "0", most=1),
                Integer("batchSize", 32, 1, 1_000_000),
                Integer("epochs", 100, 1, 1_000_000),
                _SEED,
            ),
        ),
    )
}

TASKS = ("regression", "binary_classification", "multiclass_classification")
MODEL_TYPES = tuple(f"{family}_{task}" for family in FAMILIES for task in TASKS)


def owners() -> Mapping[str, list[str]]:
    """Families by the parameters that they have."""
    found: dict[str, list[str]] = {}
    for family in FAMILIES.values():
        names = [entry.name for entry in family.hyperparameters.known]
        for name in (*names, "preset") if family.hyperparameters.presets else names:
            found.setdefault(name, []).append(family.name)
    return found

"""The configuration of a tabular trainer. Names are those of the TrainingJob; decimals are texts there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainingjob.fields import Fields, invalid, nearest, shown

_MOST_SEED = 2**32 - 1
# XGBoost computes in single precision.
_MOST_FLOAT = 1e38

MODEL_TYPES = ("xgboost_binary_classification",)


@dataclass(frozen=True)
class Parameters:
    """Hyper-parameters, named as in XGBoost."""

    n_estimators: int
    max_depth: int
    learning_rate: float
    subsample: float
    colsample_bytree: float
    min_child_weight: float
    gamma: float
    reg_alpha: float
    reg_lambda: float
    random_state: int


@dataclass(frozen=True)
class TabularConfig:
    """What to fit to which rows. `eval_split` is the share of rows held out, stratified by target."""

    model_type: str
    source: str
    eval_split: float
    seed: int
    target: str
    features: tuple[str, ...] | None
    parameters: Parameters


def parse_tabular(value: Any) -> TabularConfig:
    """Parses `trainer.tabular`; raises TrainingError with exit code 2."""
    fields = Fields(value, "trainer.tabular")
    model_type = fields.text("modelType")
    if model_type not in MODEL_TYPES:
        known = ", ".join(MODEL_TYPES)
        raise invalid(
            f'trainer.tabular.modelType: "{model_type}" is not known.{nearest(model_type, MODEL_TYPES)} Known: {known}'
        )
    dataset = Fields(fields.require("dataset"), "trainer.tabular.dataset")
    source = dataset.text("source")
    eval_split = dataset.decimal(
        "evalSplit", "0.2", lambda share: 0 < share < 1, 'a number between 0 and 1, such as "0.2"'
    )
    seed = dataset.integer("seed", 42, most=_MOST_SEED)
    dataset.close()
    config = TabularConfig(
        model_type=model_type,
        source=source,
        eval_split=eval_split,
        seed=seed,
        target=fields.text("target"),
        features=_features(fields.get("features")),
        parameters=_parameters(fields.get("parameters")),
    )
    fields.close()
    return config


def _features(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise invalid(
            f"trainer.tabular.features: must be a list of column names, not {shown(value)}; leave it out to use all columns"
        )
    doubled = next((name for name in value if value.count(name) > 1), None)
    if doubled is not None:
        raise invalid(f'trainer.tabular.features: names "{doubled}" twice; name each column once')
    return tuple(value)


def _parameters(value: Any) -> Parameters:
    fields = Fields({} if value is None else value, "trainer.tabular.parameters")

    def number(name: str, default: str, fits: Callable[[float], bool], wanted: str) -> float:
        return fields.decimal(name, default, fits, wanted)

    def share(name: str, default: str) -> float:
        return number(name, default, lambda value: 0 < value <= 1, "a number above 0 and at most 1")

    def weight(name: str, default: str) -> float:
        return number(name, default, lambda value: 0 <= value <= _MOST_FLOAT, "a number from 0 to 1e38")

    parameters = Parameters(
        n_estimators=fields.integer("nEstimators", 100, least=1),
        max_depth=fields.integer("maxDepth", 6, least=1, most=64),
        learning_rate=number("learningRate", "0.1", lambda value: 0 < value <= _MOST_FLOAT, "a number above 0"),
        subsample=share("subsample", "0.8"),
        colsample_bytree=share("colsampleBytree", "0.8"),
        min_child_weight=weight("minChildWeight", "1"),
        gamma=weight("gamma", "0"),
        reg_alpha=weight("regAlpha", "0"),
        reg_lambda=weight("regLambda", "1"),
        random_state=fields.integer("randomState", 42, most=_MOST_SEED),
    )
    fields.close()
    return parameters

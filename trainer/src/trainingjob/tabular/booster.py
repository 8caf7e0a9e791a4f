"""XGBoost's booster, made so that a run that goes on from a file gives what it would have given without a break."""

from pathlib import Path
from typing import Any

import xgboost as xgb

from trainingjob.tabular.data import Table
from trainingjob.tabular.parameters import Parameters

MODEL_FILE = "model.json"

_SEEDS = 2**31


def matrix(table: Table, rows: Any) -> Any:
    """Rows of a table as XGBoost takes them."""
    return xgb.DMatrix(table.x[rows], label=table.y[rows], feature_names=list(table.features))


def booster(parameters: Parameters, matrices: list[Any], model: Path | None = None) -> Any:
    """A new booster, or one that goes on from a model's file."""
    return xgb.Booster(_named(parameters), matrices, model_file=None if model is None else str(model))


def load(model: Path) -> Any:
    """A booster to predict with."""
    return xgb.Booster(model_file=str(model))


def boost(model: Any, rows: Any, seed: int, step: int) -> None:
    """Trains one round, numbered from 1. Its chances depend on the seed and the round alone, never on earlier rounds.

    XGBoost draws which rows and columns a tree sees from generators that live as long as the process, so a booster that was
    loaded would draw others. A new seed begins the rows' generator anew; leaving the tree method and coming back, the columns'.
    """
    # Times a large prime: neighbouring seeds must not share rounds.
    model.set_param({"tree_method": "approx", "seed": (seed * 1_000_003 + step - 1) % _SEEDS})
    # Parameters take effect when the booster is asked for something.
    model.save_config()
    model.set_param({"tree_method": "hist"})
    model.update(rows, step - 1)


def _named(parameters: Parameters) -> dict[str, Any]:
    return {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_depth": parameters.max_depth,
        "learning_rate": parameters.learning_rate,
        "subsample": parameters.subsample,
        "colsample_bytree": parameters.colsample_bytree,
        "min_child_weight": parameters.min_child_weight,
        "gamma": parameters.gamma,
        "reg_alpha": parameters.reg_alpha,
        "reg_lambda": parameters.reg_lambda,
    }

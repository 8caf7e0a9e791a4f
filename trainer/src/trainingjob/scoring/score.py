"""The score of one evaluation; lower is better."""

import math
from dataclasses import dataclass
from typing import Literal

SCORER_VERSION = 1

Goal = Literal["Minimize", "Maximize"]


@dataclass(frozen=True)
class Score:
    """A finite score and what it is made of, by name; the components add up to it."""

    score: float
    components: dict[str, float]


def multi_metric_score(eval_loss: float | None, train_loss: float | None, *, improved: bool) -> Score | None:
    """`0.5·E + 0.3·|T-E|/max(E, 0.001) + 0.1·min(exp(E)/20, 1) - 0.1·improved`.

    Args:
        eval_loss: E; None when there was none.
        train_loss: T, the newest train loss at or before the evaluation; None gives no gap term.
        improved: Whether E is below that of the evaluation before.

    Returns:
        None when it cannot be computed from finite numbers.
    """
    if eval_loss is None or not math.isfinite(eval_loss):
        return None
    if train_loss is not None and not math.isfinite(train_loss):
        return None
    gap = 0.0 if train_loss is None else abs(train_loss - eval_loss) / max(eval_loss, 0.001)
    components = {
        "base": 0.5 * eval_loss,
        "gap": 0.3 * gap,
        "perplexity": 0.1 * min(math.exp(min(eval_loss, 700)) / 20, 1),
        "bonus": -0.1 if improved else 0.0,
    }
    score = sum(components.values())
    return Score(score, components) if math.isfinite(score) else None


def single_metric_score(name: str, value: float | None, goal: Goal) -> Score | None:
    """One metric as the score; one to be maximized counts negated. None when it is absent or not finite."""
    if value is None or not math.isfinite(value):
        return None
    score = value if goal == "Minimize" else -value
    return Score(score, {name: score})

"""The trials of a search, as people look at them."""

import math
from collections.abc import Sequence
from typing import Any

from trainingjob.tabular.report.plots import Plot, plot_of
from trainingjob.tabular.search.record import Trial

_MOST_ROWS = 50


def trial_rows(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Rows of a table, the best first; those without a score come last."""
    order = sorted(trials, key=lambda trial: (math.inf if trial.score is None else trial.score, trial.number))
    return [
        {
            "number": trial.number,
            "state": trial.state,
            "reason": trial.reason,
            "score": "" if trial.score is None else f"{trial.score:.6g}",
            "seconds": f"{trial.seconds:.1f}",
            "parameters": ", ".join(f"{name} {_shown(value)}" for name, value in trial.parameters.items()),
        }
        for trial in order[:_MOST_ROWS]
    ]


def search_history(trials: Sequence[Trial], best: int) -> Plot:
    """The score of each trial, and the best one so far."""
    scored = [(trial.number, trial.score) for trial in trials if trial.score is not None]
    numbers, scores = [number for number, _ in scored], [score for _, score in scored]
    lowest = [min(scores[: place + 1]) for place in range(len(scores))]

    def draw(axes: Any) -> None:
        axes.scatter(numbers, scores, s=14, label="trial")
        axes.step(numbers, lowest, where="post", color="0.4", linewidth=1, label="best so far")
        axes.axvline(best, color="0.5", linestyle="--", linewidth=1, label=f"best trial, {best}")
        axes.set(xlabel="trial", ylabel="score, lower is better")
        axes.legend()

    return plot_of("search_history", "Score of each trial of the search that was not pruned and did not fail", draw)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

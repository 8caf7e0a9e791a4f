"""Plots as PNG. Each is drawn from the same predictions and evaluations as the figures in metrics.json."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from trainingjob.tabular.data.column import Floats

# A column may be called $a$.
_STYLE: Any = {"text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False, "font.size": 9}
_SIZE = (5.6, 4.0)
_MOST_POINTS = 20_000
_MOST_BARS = 20
_MOST_CLASSES = 20


@dataclass(frozen=True)
class Plot:
    """`name` is the file's, without its ending; `caption` is what a reader sees under it."""

    name: str
    caption: str
    png: bytes


def learning_curve(evaluations: Mapping[int, Mapping[str, float]], best: int, unit: str) -> Plot:
    """Train and eval loss by step, with the best step marked. `unit` is what it is called: steps of a search are trials."""
    steps = sorted(evaluations)

    def draw(axes: Any) -> None:
        axes.plot(steps, [evaluations[step]["train/loss"] for step in steps], marker=".", label="train loss")
        axes.plot(steps, [evaluations[step]["eval/loss"] for step in steps], marker=".", label="eval loss")
        axes.axvline(best, color="0.5", linestyle="--", linewidth=1, label=f"best {unit}, {best}")
        axes.set(xlabel=unit, ylabel="loss")
        axes.legend()

    return plot_of("learning_curve", f"Loss on training and evaluation rows, by {unit}", draw)


def confusion_matrix(matrix: Sequence[Sequence[int]], classes: tuple[str, ...]) -> Plot:
    """Rows of each class by the class that was predicted for them."""
    counts = np.array(matrix)

    def draw(axes: Any) -> None:
        axes.imshow(counts, cmap="Blues")
        places = range(len(classes))
        names = [name if len(name) <= 16 else f"{name[:15]}…" for name in classes]
        axes.set_xticks(places, names, rotation=45 if len(classes) > 3 else 0)
        axes.set_yticks(places, names)
        axes.set(xlabel="predicted", ylabel="true")
        if len(classes) <= _MOST_CLASSES:
            for row in places:
                for column in places:
                    dark = counts[row, column] > counts.max() / 2
                    axes.text(
                        column, row, str(counts[row, column]), ha="center", va="center", color="w" if dark else "k"
                    )

    return plot_of("confusion_matrix", "Rows of each class, by what was predicted for them", draw)


def roc(outcomes: Floats, probabilities: Floats, names: Sequence[str]) -> Plot:
    """True against false positives of each class, (rows, classes)."""

    def draw(axes: Any) -> None:
        for index, name in enumerate(names):
            false, true, _ = roc_curve(outcomes[:, index], probabilities[:, index])
            axes.plot(false, true, label=name)
        axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
        axes.set(xlabel="false positives", ylabel="true positives", xlim=(0, 1), ylim=(0, 1.02))
        _name(axes, names)

    return plot_of("roc", "Receiver operating characteristic: share of true against share of false positives", draw)


def precision_recall(outcomes: Floats, probabilities: Floats, names: Sequence[str]) -> Plot:
    """Precision against recall of each class, (rows, classes)."""

    def draw(axes: Any) -> None:
        for index, name in enumerate(names):
            precision, recall, _ = precision_recall_curve(outcomes[:, index], probabilities[:, index])
            axes.plot(recall, precision, label=name)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        _name(axes, names)

    return plot_of("precision_recall", "Precision against recall", draw)


def calibration(bins: Sequence[Mapping[str, float]]) -> Plot:
    """How often what was predicted with some probability came true."""

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
        axes.plot([one["probability"] for one in bins], [one["share"] for one in bins], marker="o")
        axes.set(xlabel="mean probability", ylabel="share that came true", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))

    return plot_of("calibration", "How often what was predicted with some probability came true", draw)


def importance(measure: str, values: Floats, names: Sequence[str]) -> Plot:
    """The inputs that count most, by the library's own measure, or by what a shuffle of their values costs."""
    order = np.argsort(values)[-_MOST_BARS:]

    def draw(axes: Any) -> None:
        shown = [names[place] if len(names[place]) <= 32 else f"{names[place][:31]}…" for place in order]
        axes.barh(range(len(order)), values[order])
        axes.set_yticks(range(len(order)), shown)
        axes.set(xlabel=measure)

    many = f", the first {_MOST_BARS} of {len(names)}" if len(names) > _MOST_BARS else ""
    return plot_of("feature_importance", f"What counts most, by {measure}{many}", draw)


def residuals(truth: Floats, predicted: Floats) -> Plot:
    """What is left of the truth when the prediction is taken away."""

    # More points cover each other, and take as much memory as a table.
    nth = -(-len(truth) // _MOST_POINTS)

    def draw(axes: Any) -> None:
        axes.axhline(0, color="0.7", linestyle="--", linewidth=1)
        axes.scatter(predicted[::nth], (truth - predicted)[::nth], s=10, alpha=0.6)
        axes.set(xlabel="predicted", ylabel="true minus predicted")

    some = f", of one row in {nth}" if nth > 1 else ""
    return plot_of("residuals", f"Residuals: what is left of the truth when the prediction is taken away{some}", draw)


def _name(axes: Any, names: Sequence[str]) -> None:
    if len(names) > 1:
        axes.legend(fontsize="small", ncols=2 if len(names) > 5 else 1)


def plot_of(name: str, caption: str, draw: Any) -> Plot:
    """What `draw` draws into axes."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, dpi=96, layout="constrained")
        draw(figure.add_subplot())
        buffer = io.BytesIO()
        # Without the library's version and the date: the same figures are the same file.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return Plot(name, caption, buffer.getvalue())

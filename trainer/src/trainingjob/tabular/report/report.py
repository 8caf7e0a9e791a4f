"""report.html: one page that needs nothing beside it."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from trainingjob.tabular.report.plots import Plot
from trainingjob.tabular.report.searched import trial_rows
from trainingjob.tabular.search.record import Trial

REPORT_FILE = "report.html"


def write_report(
    folder: Path,
    metrics: Mapping[str, Any],
    schema: Mapping[str, Any],
    plots: Sequence[Plot],
    trials: Sequence[Trial] = (),
) -> None:
    """Writes the page and each plot as a file."""
    for plot in plots:
        (folder / f"{plot.name}.png").write_bytes(plot.png)
    # Names of columns and classes are whatever people write; none of it is markup.
    environment = Environment(
        loader=PackageLoader("trainingjob.tabular", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    seeds = {"seed of the split": metrics["seed"]}
    versions = {f"version of {name}": version for name, version in metrics["versions"].items()}
    text = environment.get_template("report.html.j2").render(
        metrics={"classes": None, **metrics, "rows": {"test": None, **metrics["rows"]}},
        main=headline(metrics),
        rows=metrics["rows"][metrics["measured_on"]],
        steps=metrics["steps_evaluated"],
        figures=[(name, _number(metrics[name])) for name in metrics if isinstance(metrics[name], float)],
        plots=[{"caption": plot.caption, "base64": base64.b64encode(plot.png).decode()} for plot in plots],
        columns=schema["features"],
        notes=schema["notes"],
        folds=_folds(metrics.get("cross_validation")),
        trials=trial_rows(trials),
        trials_done=len(trials),
        parameters=[
            *metrics["parameters"].items(),
            ("trained on", ", then ".join(metrics["device"]["used"])),
            *seeds.items(),
            *versions.items(),
        ],
    )
    (folder / REPORT_FILE).write_text(text + "\n", encoding="utf-8")


def _folds(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    figures = [
        (name, _number(one["mean"]), _number(one["std"])) for name, one in found.items() if isinstance(one, Mapping)
    ]
    return {"number": found["folds"], "figures": figures}


def headline(metrics: Mapping[str, Any]) -> str:
    """The one figure that says most."""
    for name, called in (("accuracy", "Accuracy"), ("r2", "R²"), ("rmse", "RMSE")):
        if name in metrics:
            return f"{called} {_number(metrics[name])}"
    return "No figure"


def _number(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.4g}"

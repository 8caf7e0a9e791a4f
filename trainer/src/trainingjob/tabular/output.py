"""What a run leaves: the model, what makes it usable, and what it is worth."""

import csv
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainingjob import reporting
from trainingjob.exitcodes import naming
from trainingjob.lineage import dataset_lineage, versions_of
from trainingjob.progress import Progress, utc
from trainingjob.storage.manifest import store_verified
from trainingjob.tabular.data.column import Column
from trainingjob.tabular.data.split import Rows
from trainingjob.tabular.data.summary import MOST_COLUMNS, summary_of
from trainingjob.tabular.families.family import Predictor
from trainingjob.tabular.folds import CROSS_VALIDATION, Folds
from trainingjob.tabular.outline import SCHEMA_FILE, schema_of
from trainingjob.tabular.parameters import TabularConfig
from trainingjob.tabular.predicted import Predicted
from trainingjob.tabular.predictions import write_predictions
from trainingjob.tabular.prepare import Part, Prepared
from trainingjob.tabular.report.draw import draw
from trainingjob.tabular.report.modelcard import write_card
from trainingjob.tabular.report.report import write_report
from trainingjob.tabular.report.searched import search_history
from trainingjob.tabular.result import lowest
from trainingjob.tabular.search.record import Trial, write_search
from trainingjob.tabular.tasks.task import Task

_ROWS_AT_ONCE = 10_000
METRICS_FILE = "metrics.json"
ROWS_FILE = "heldout.csv"
PREDICTIONS_FILE = "predictions.csv"


@dataclass(frozen=True)
class Output:
    """What is known at the end of a run; `model` is that of the best step, and lies at `model_path`. `rounds` is how many it has,
    and `evaluations` are those that it went through, by round: the step and all evaluations, but in a search, whose steps are
    `trials`."""

    tabular: TabularConfig
    task: Task
    prepared: Prepared
    progress: Progress
    best: int
    model: Predictor
    model_path: Path
    rounds: int
    evaluations: Mapping[int, Mapping[str, float]]
    folds: Folds
    trials: tuple[Trial, ...] = ()


def store_output(output: Output, uri: str, version: str) -> str:
    """Writes the files, stores them and reads them back.

    Returns:
        SHA-256 of the manifest.

    Raises:
        TrainingError: exit code 6 when storage fails.
    """
    prepared = output.prepared
    with tempfile.TemporaryDirectory(prefix="output-") as name:
        folder = Path(name)
        shutil.copyfile(output.model_path, folder / output.model_path.name)
        prepared.pipeline.write(folder)
        schema = schema_of(output.tabular.model_type, prepared, output.model_path.name)
        write_rows(folder / ROWS_FILE, prepared, prepared.test.rows)
        predicted = output.model.predict(prepared.test.x)
        write_predictions(folder / PREDICTIONS_FILE, predicted, prepared.classes)
        metrics = measured(output, predicted, version)
        if "ONNX" in output.tabular.export:
            _export(output, predicted, folder, metrics)
        unit = "round" if output.trials else "step"
        plots, absent = draw(
            output.task, prepared, output.evaluations, output.rounds, output.model, predicted, metrics, unit
        )
        if output.trials and output.tabular.search is not None:
            plots.append(search_history(output.trials, output.best))
            write_search(folder, output.tabular.search, list(output.trials), best_trial=output.best)
        metrics["not_computed"] |= absent
        for name, document in ((SCHEMA_FILE, schema), (METRICS_FILE, metrics)):
            (folder / name).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        write_report(folder, metrics, schema, plots, output.trials)
        write_card(folder, metrics, schema, output.task.name, output.tabular.family.library)
        lineage = {
            "dataset": {name: value for name, value in metrics["dataset"].items() if name != "summary"},
            **{name: metrics[name] for name in ("model_type", "parameters", "seed", "versions")},
        }
        with naming("spec.output.uri"):
            return store_verified(folder, uri, output.best, version, lineage=lineage)


def _export(output: Output, predicted: Predicted, folder: Path, metrics: dict[str, Any]) -> None:
    # Imported here: only who exports needs what it takes.
    from trainingjob.tabular.onnxexport import write_onnx

    made = write_onnx(output.tabular, output.prepared, output.model, output.model_path, predicted, folder)
    if made.found is not None:
        metrics["onnx"] = made.found
        return
    metrics["not_computed"]["onnx"] = made.reason
    message = f"model.onnx is not stored, as {made.reason}; the model itself is"
    reporting.emit({"type": "alert", "name": "ExportFailed", "severity": "Warning", "message": message})


def measured(output: Output, predicted: Predicted, version: str) -> dict[str, Any]:
    """The content of metrics.json. What could not be computed is absent, and `not_computed` says why."""
    tabular, prepared, progress, task = output.tabular, output.prepared, output.progress, output.task
    split = prepared.split
    test = prepared.test
    found, absent = task.report(test.y, predicted, prepared.classes)
    searches = ["optuna"] if output.trials else []
    # Clocks of two pods may differ; a run does not end before it began.
    started = datetime.fromisoformat(progress.started_at)
    steps = {} if tabular.family.steps is None else {tabular.family.steps: output.rounds}
    return {
        "model_type": tabular.model_type,
        "best_step": output.best,
        "score": progress.scores[output.best],
        "steps_evaluated": len(progress.evaluations),
        **steps,
        **({"epochs_trained": max(output.evaluations)} if tabular.family.steps == "epochs" else {}),
        **_searched(output),
        "measured_on": "test" if split.has_test else "evaluation",
        "rows": {
            "train": len(split.train),
            "evaluation": len(split.held_out),
            **({"test": len(split.test)} if split.has_test else {}),
        },
        **found,
        **_part(output, prepared.held_out, "val"),
        **_part(output, prepared.train, "train"),
        **({} if output.folds.found is None else {CROSS_VALIDATION: output.folds.found}),
        "training_seconds": progress.training_seconds,
        "start": progress.started_at,
        "end": utc(max(datetime.now(UTC), started)),
        "target": tabular.target,
        "parameters": {**tabular.parameters, **prepared.problem.device.changed},
        "device": {"used": progress.devices, "notes": list(prepared.problem.device.notes)},
        "seed": tabular.seed,
        "dataset_sha256": prepared.table.sha256,
        "dataset": _dataset(tabular, prepared),
        "lowest_eval_loss": lowest(progress.evaluations),
        "versions": versions_of(("numpy", "pyarrow", "scikit-learn", tabular.family.library, *searches), version),
        "not_computed": {**absent, **output.folds.absent},
    }


def _dataset(tabular: TabularConfig, prepared: Prepared) -> dict[str, Any]:
    """What the rows were, before any of them was left out."""
    table = prepared.table
    assert table.target is not None
    columns = (*table.features, table.target)
    return {
        **dataset_lineage(tabular.file, table.sha256, table.revision),
        "rows": table.rows,
        "columns": table.columns,
        # Of those that are read: features and target.
        "summary": [summary_of(column) for column in columns[-MOST_COLUMNS:]],
    }


def _searched(output: Output) -> dict[str, Any]:
    if not output.trials:
        return {}
    states = Counter(trial.state for trial in output.trials)
    counts = {"complete": states["Complete"], "pruned": states["Pruned"], "failed": states["Failed"]}
    best = output.trials[output.best - 1]
    return {
        "search": {"trials": len(output.trials), **counts, "best_trial": best.number, "parameters": best.parameters}
    }


def write_rows(path: Path, prepared: Prepared, rows: Rows) -> None:
    """Writes rows with features and target as CSV; cells are written so that they read back the same."""
    table = prepared.table
    assert table.target is not None
    columns: list[Column] = [*table.features, table.target]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in columns])
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = [column.take(rows[start : start + _ROWS_AT_ONCE]) for column in columns]
            for row in range(len(some[0].values)):
                writer.writerow([column.text(row) for column in some])


def _part(output: Output, part: Part, prefix: str) -> dict[str, float]:
    predicted = output.model.predict(part.x)
    second = "mae" if output.task.name == "regression" else "accuracy"
    return {
        f"{prefix}_loss": output.task.loss(part.y, predicted),
        f"{prefix}_{second}": output.task.evaluate(part.y, predicted)[second],
    }

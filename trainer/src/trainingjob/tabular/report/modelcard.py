"""README.md beside the model: what it is, what it was learnt from, and how to ask it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainingjob.tabular.report.report import headline

CARD_FILE = "README.md"

_TASKS = {
    "regression": "tabular-regression",
    "binary_classification": "tabular-classification",
    "multiclass_classification": "tabular-classification",
}
_FIGURES = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "auc_pr",
    "log_loss",
    "r2",
    "rmse",
    "mae",
    "mse",
    "mape",
)


def write_card(folder: Path, metrics: Mapping[str, Any], schema: Mapping[str, Any], task: str, library: str) -> None:
    """Writes the card; its head is what the Hugging Face Hub reads."""
    figures = [f"| {name} | {metrics[name]:.6g} |" for name in _FIGURES if name in metrics]
    used = [column for column in schema["features"] if column["used"]]
    columns = [f"| {_cell(column['name'])} | {column['type']} |" for column in used]
    rows = metrics["rows"]
    data = metrics["dataset"]
    commit = f", its commit at the Hub `{data['revision']}`" if "revision" in data else ""
    parameters = json.dumps(metrics["parameters"], ensure_ascii=False)
    lines = [
        "---",
        f"library_name: {library}",
        f"pipeline_tag: {_TASKS[task]}",
        "tags:",
        "- tabular",
        f"- {metrics['model_type']}",
        "---",
        "",
        f"# {metrics['model_type']} for {_cell(metrics['target'])}",
        "",
        f"{headline(metrics)} on {rows[metrics['measured_on']]} {metrics['measured_on']} rows. `report.html` shows more.",
        "",
        "| Figure | Value |",
        "|---|---|",
        *figures,
        "",
        *_folds(metrics.get("cross_validation")),
        "## What it was learnt from",
        "",
        f"{rows['train']} of the {data['rows']} rows of `{data['source']}`; the file's SHA-256 is `{data['sha256']}`{commit}.",
        "",
        "| Column | Type |",
        "|---|---|",
        *columns,
        "",
        *(
            [f"Classes: {', '.join(_cell(name) for name in schema['target']['classes'])}.", ""]
            if metrics.get("classes")
            else []
        ),
        f"Parameters: `{parameters}`; {'trial' if 'search' in metrics else 'step'} {metrics['best_step']} was the best. "
        f"Trained on {_cell(', then '.join(metrics['device']['used']))}.",
        "",
        "## How to ask it",
        "",
        "    trainingjob predict --model FOLDER --data FILE.csv --output predictions.csv",
        "",
        f"`{schema['model_file']}` is in {library}'s own format, `pipeline.json` turns columns into its inputs, and `schema.json` names both.",
        *_onnx(metrics.get("onnx")),
        "Nothing in this folder runs code when it is loaded.",
    ]
    (folder / CARD_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _onnx(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    return [
        f"`{found['file']}` is the same model as ONNX: `{found['input']['name']}` takes the inputs that `schema.json` lists, in that order, as "
        f"{found['input']['type']}; on {found['rows_compared']} rows its predictions differed by {found['max_difference']:.2g} at most.",
    ]


def _folds(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    told = [f"{name} {one['mean']:.4g} ± {one['std']:.2g}" for name, one in found.items() if isinstance(one, Mapping)]
    return [f"Cross-validation over {found['folds']} folds: {', '.join(told)}.", ""]


def _cell(text: str) -> str:
    """A name within a table of Markdown."""
    marked = "".join(f"\\{letter}" if letter in "\\|`*_<>[]#" else letter for letter in text)
    return " ".join(marked.split())

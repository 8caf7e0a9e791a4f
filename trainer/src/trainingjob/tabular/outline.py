"""schema.json: what goes into a model and what comes out, so that it can be asked without knowing how it was trained."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainingjob.tabular.data.column import Column
from trainingjob.tabular.families.known import FAMILIES, Family
from trainingjob.tabular.prepare import Prepared

SCHEMA_FILE = "schema.json"


@dataclass(frozen=True)
class Outline:
    """What prediction needs of schema.json."""

    model_type: str
    family: Family
    task: str
    target: str
    classes: tuple[str, ...]


def schema_of(model_type: str, prepared: Prepared, model_file: str) -> dict[str, Any]:
    """The content of schema.json."""
    table, pipeline = prepared.table, prepared.pipeline
    used = {feature.name: feature for feature in pipeline.features}
    columns = [{**_summary(column, prepared), "used": column.name in used} for column in table.features]
    assert table.target is not None
    return {
        "model_type": model_type,
        "model_file": model_file,
        "features": columns,
        "model_inputs": list(prepared.problem.names),
        "target": {"name": table.target.name, "type": table.target.kind, "classes": list(prepared.classes)},
        "preprocessing": {"imputing": pipeline.imputing, "encoding": pipeline.encoding},
        "notes": list(prepared.notes),
    }


def read_schema(folder: Path) -> Outline:
    """Raises ValueError or KeyError when it is no schema."""
    document = json.loads((folder / SCHEMA_FILE).read_text(encoding="utf-8"))
    model_type = document["model_type"]
    family, task = split_type(model_type)
    target = document["target"]
    return Outline(model_type, family, task, target["name"], tuple(target["classes"]))


def split_type(model_type: str) -> tuple[Family, str]:
    """Family and task of a model type. Raises KeyError for one that is not known."""
    name = next((name for name in FAMILIES if model_type.startswith(f"{name}_")), "")
    return FAMILIES[name], model_type.removeprefix(f"{name}_")


def _summary(column: Column, prepared: Prepared) -> dict[str, Any]:
    values = column.values[prepared.split.train]
    known = values[values == values]
    found: dict[str, Any] = {"name": column.name, "type": column.kind, "missing": len(values) - len(known)}
    if column.kind == "Categorical":
        return {**found, "categories": len(column.categories)}
    if column.kind == "Numeric" and len(known) > 0:
        found |= {"min": float(known.min()), "mean": float(known.mean()), "max": float(known.max())}
    return found

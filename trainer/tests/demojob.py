"""The demonstration's job: diabetes patients, and the configuration that the operator sends for it."""

import json
from pathlib import Path
from typing import Any

from trainingjob.tabular import demo

PARAMETERS = {
    "nEstimators": 200,
    "maxDepth": 2,
    "learningRate": "0.03",
    "subsample": "0.5",
    "colsampleBytree": "1",
    "regLambda": "5",
}


def demo_config(folder: Path, **members: Any) -> dict[str, Any]:
    """The configuration over data that is written to `folder`; checkpoints and output lie there as well."""
    data = folder / "diabetes.csv"
    if not data.exists():
        demo.main(["--out", str(data)])
    return {
        "trainer": {
            "tabular": {
                "modelType": "xgboost_binary_classification",
                "dataset": {"source": data.as_uri(), "evalSplit": "0.2", "seed": 42},
                "target": "above_median",
                "parameters": PARAMETERS,
            }
        },
        "evaluation": {"everySteps": 20},
        "checkpoints": {"keepLast": 1},
        "storage": {"checkpoints": (folder / "checkpoints").as_uri(), "output": (folder / "output").as_uri()},
        "scoring": {"strategy": "MultiMetric"},
        **members,
    }


def with_parameters(config: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    tabular = config["trainer"]["tabular"]
    return {**config, "trainer": {"tabular": {**tabular, "parameters": {**tabular["parameters"], **parameters}}}}


def read_events(path: Path) -> list[dict[str, Any]]:
    """Events that are in the file so far, whole lines only."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def of_type(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == kind]

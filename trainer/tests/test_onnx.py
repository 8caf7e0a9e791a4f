"""Models as ONNX: onnxruntime alone says what the model says, or nothing is stored and the reason is told."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests.demojob import of_type
from tests.finished import run
from trainingjob.datasource import DataSource
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.storage.manifest import verify
from trainingjob.tabular import demo
from trainingjob.tabular.data.inputs import whole
from trainingjob.tabular.data.pipeline import read_pipeline
from trainingjob.tabular.data.table import Selection, read_table
from trainingjob.tabular.families.known import MODEL_TYPES

DATA = {"regression": "diabetes", "binary_classification": "breast_cancer", "multiclass_classification": "wine"}
SMALL = {
    "xgboost": {"nEstimators": 20},
    "lightgbm": {"nEstimators": 20, "minDataInLeaf": 5},
    "catboost": {"iterations": 20},
    "random_forest": {"nEstimators": 20},
    "svm": {},
    "keras": {"epochs": 5},
}


def exporting(folder: Path, model_type: str, file: Path, target: str, **members: Any) -> dict[str, Any]:
    family = next(name for name in SMALL if model_type.startswith(f"{name}_"))
    return {
        "trainer": {
            "tabular": {
                "modelType": model_type,
                "dataset": {"source": file.as_uri()},
                "target": target,
                "parameters": SMALL[family],
                "export": ["ONNX"],
                **members,
            }
        },
        "evaluation": {"everySteps": 10},
        "checkpoints": {},
        "storage": {"checkpoints": (folder / "c").as_uri(), "output": (folder / "output").as_uri()},
        "scoring": {"strategy": "SingleMetric", "metric": {"name": "eval/loss", "goal": "Minimize"}},
    }


def mixed(folder: Path) -> Path:
    """Numbers with gaps, and texts that matter."""
    rng = np.random.default_rng(1)
    file = folder / "mixed.csv"
    with file.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["a", "text", "y"])
        for row in range(300):
            a, text = rng.normal(), "pqrstu"[rng.integers(6)]
            writer.writerow(["" if row % 11 == 0 else a, text, a + 3 * (text in "pr") + rng.normal() / 10])
    return file


def asked(output: Path) -> np.ndarray:
    """What onnxruntime says of heldout.csv, with nothing of the run but the pipeline."""
    pipeline = read_pipeline(output)
    names = tuple(feature.name for feature in pipeline.features)
    table = read_table(
        DataSource("test", (output / "heldout.csv").as_uri()), Selection(None, names, kinds=pipeline.kinds)
    )
    x = whole(pipeline.transform(table.features, np.arange(len(table.lines))).x).astype(np.float32)
    session = onnxruntime.InferenceSession(output / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x})[-1]
    return np.array([[row[name] for name in sorted(row)] for row in found] if isinstance(found, list) else found)


def stated(output: Path) -> np.ndarray:
    with (output / "predictions.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    return np.array([[float(cell) for cell in (row[1:] or row)] for row in rows])


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_onnxruntime_says_what_the_model_says(model_type, tmp_path):
    data = DATA[next(task for task in DATA if model_type.endswith(f"_{task}"))]
    file = tmp_path / "data.csv"
    demo.main(["--out", str(file), "--data", data])
    done = run(tmp_path, exporting(tmp_path, model_type, file, demo.DATA[data].target))
    assert of_type(done.events, "alert") == []
    output = tmp_path / "output"
    verify(output.as_uri())
    found = done.metrics["onnx"]
    assert (found["file"], found["tolerance"]) == ("model.onnx", 1e-4)
    assert found["rows_compared"] == done.metrics["rows"]["evaluation"]
    assert found["max_difference"] <= 1e-4
    wanted, got = stated(output), asked(output)
    if got.size == len(wanted) and wanted.shape[1] == 2:
        got = np.column_stack([1 - got.ravel(), got.ravel()])
    assert got.reshape(wanted.shape) == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    assert "`model.onnx` is the same model as ONNX" in (output / "README.md").read_text()


@pytest.mark.parametrize("model_type", ["lightgbm_regression", "xgboost_regression"])
def test_categories_and_gaps_that_the_library_takes_itself(model_type, tmp_path):
    native = {"preprocessing": {"imputing": "Native", "encoding": "Native"}}
    done = run(tmp_path, exporting(tmp_path, model_type, mixed(tmp_path), "y", **native))
    assert done.metrics["onnx"]["max_difference"] <= 1e-4
    wanted = stated(tmp_path / "output")
    assert asked(tmp_path / "output").reshape(wanted.shape) == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_catboost_with_categories_is_refused_before_it_is_trained(tmp_path):
    with pytest.raises(
        TrainingError, match=r'with categories, such as column "text"; write preprocessing.encoding'
    ) as caught:
        run(tmp_path, exporting(tmp_path, "catboost_regression", mixed(tmp_path), "y"))
    assert caught.value.code == ExitCode.CONFIGURATION
    folder = tmp_path / "numbers"
    folder.mkdir()
    one_hot = {"preprocessing": {"encoding": "OneHot"}}
    done = run(folder, exporting(folder, "catboost_regression", mixed(tmp_path), "y", **one_hot))
    assert done.metrics["onnx"]["max_difference"] <= 1e-4


def test_a_model_that_single_precision_cannot_say_is_not_claimed(tmp_path):
    # Above 2 to the 24th power every other whole number is the same in single precision.
    file = tmp_path / "large.csv"
    with file.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerows([("a", "y"), *((2**24 + row % 8, 100 * (row % 2)) for row in range(400))])
    done = run(tmp_path, exporting(tmp_path, "lightgbm_regression", file, "y"))
    assert done.code == ExitCode.SUCCESS
    assert not (tmp_path / "output" / "model.onnx").exists()
    assert "onnx" not in done.metrics
    reason = done.metrics["not_computed"]["onnx"]
    assert reason.startswith("its predictions differ from those of the model by up to ")
    assert reason.endswith(", more than 0.0001")
    (alert,) = of_type(done.events, "alert")
    assert (alert["name"], alert["severity"]) == ("ExportFailed", "Warning")
    assert alert["message"] == f"model.onnx is not stored, as {reason}; the model itself is"
    assert reason in (tmp_path / "output" / "report.html").read_text()
    assert "ONNX" not in (tmp_path / "output" / "README.md").read_text()


def test_without_the_field_there_is_none(tmp_path):
    config = exporting(tmp_path, "svm_regression", mixed(tmp_path), "y")
    del config["trainer"]["tabular"]["export"]
    done = run(tmp_path, config)
    assert "onnx" not in done.metrics
    assert not (tmp_path / "output" / "model.onnx").exists()

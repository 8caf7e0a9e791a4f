"""Every model type, trained for real on scikit-learn's bundled sets: as good as its library alone, the same after a break, and the
same when it is asked again."""

import json
import os
from pathlib import Path

import pytest

from tests.demojob import of_type
from tests.direct import PARAMETERS, direct_metric
from tests.finished import Finished, run
from tests.interruption import interrupted, resumed
from trainingjob.cli import main
from trainingjob.exitcodes import ExitCode
from trainingjob.storage.manifest import verify
from trainingjob.tabular import demo
from trainingjob.tabular.families.known import FAMILIES, MODEL_TYPES
from trainingjob.tabular.outline import split_type

SETS = {
    "regression": ["diabetes"],
    "binary_classification": ["breast_cancer"],
    "multiclass_classification": ["wine", "digits"],
}
DROPOUT = [
    {"type": "Dense", "units": 8, "activation": "relu"},
    {"type": "Dropout", "rate": "0.3"},
    {"type": "Dense", "units": 4, "activation": "tanh"},
    {"type": "Dropout", "rate": "0.1"},
]
CASES = [(model_type, name) for model_type in MODEL_TYPES for name in SETS[split_type(model_type)[1]]]
ITERATIVE = [model_type for model_type in MODEL_TYPES if split_type(model_type)[0].steps is not None]


def config_for(folder: Path, model_type: str, name: str, **members):
    data = folder / "data.csv"
    demo.main(["--out", str(data), "--data", name])
    family, _ = split_type(model_type)
    parameters = dict(PARAMETERS[family.name])
    tabular = {
        "modelType": model_type,
        "dataset": {"source": data.as_uri()},
        "target": demo.DATA[name].target,
        "parameters": parameters,
    }
    return {
        "trainer": {"tabular": tabular},
        "evaluation": {"everySteps": 1000},
        "checkpoints": {},
        "storage": {"checkpoints": (folder / "checkpoints").as_uri(), "output": (folder / "output").as_uri()},
        "scoring": {"strategy": "SingleMetric", "metric": {"name": "eval/loss", "goal": "Minimize"}},
        **members,
    }


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]} on {case[1]}")
def trained(request, tmp_path_factory):
    model_type, name = request.param
    folder = tmp_path_factory.mktemp("type")
    return model_type, name, run(folder, config_for(folder, model_type, name))


def test_is_as_good_as_its_library_alone(trained):
    model_type, name, done = trained
    assert done.code == ExitCode.SUCCESS
    metric = "r2" if model_type.endswith("_regression") else "accuracy"
    alone = direct_metric(model_type, done.folder / "data.csv", demo.DATA[name].target)
    assert done.metrics[metric] == pytest.approx(alone, abs=0.02)
    assert alone > 0.3


def test_prediction_reproduces_what_was_stored(trained, tmp_path):
    _, _, done = trained
    output = done.folder / "output"
    verify(output.as_uri())
    path = tmp_path / "again.csv"
    arguments = ["--model", str(output), "--data", str(output / "heldout.csv"), "--output", str(path)]
    assert main(["predict", *arguments]) == 0
    assert path.read_bytes() == (output / "predictions.csv").read_bytes()
    assert len(path.read_text().splitlines()) == done.metrics["rows"]["evaluation"] + 1


def test_metrics_have_the_names_that_others_read(trained):
    model_type, _, done = trained
    wanted = {"training_seconds", "start", "end", "train_loss", "val_loss", "model_type", "best_step"}
    if model_type.endswith("_regression"):
        wanted |= {"mse", "rmse", "mae", "r2", "mape", "residuals", "val_mae", "train_mae"}
    else:
        wanted |= {"accuracy", "precision", "recall", "f1", "roc_auc", "auc_pr", "brier_score", "log_loss"}
        wanted |= {"confusion_matrix", "calibration", "classes", "val_accuracy", "train_accuracy"}
    family, _ = split_type(model_type)
    if family.steps is not None:
        wanted.add(family.steps)
    if family.name == "keras":
        assert done.metrics["epochs_trained"] == 60
    assert wanted - set(done.metrics) - set(done.metrics["not_computed"]) == set()
    assert 0 < done.metrics["training_seconds"] < 600
    assert done.metrics["start"] <= done.metrics["end"]


@pytest.mark.parametrize("model_type", ITERATIVE)
def test_interrupted_run_gives_what_a_whole_one_gives(model_type, tmp_path):
    family, task = split_type(model_type)
    (name, *_) = SETS[task]
    chance = {
        "xgboost": {"nEstimators": 20, "subsample": "0.5", "colsampleBytree": "0.5"},
        "lightgbm": {"nEstimators": 20, "featureFraction": "0.5", "baggingFraction": "0.5"},
        "catboost": {"iterations": 20, "depth": 3, "rsm": "0.5"},
        "keras": {"layers": DROPOUT, "learningRateSchedule": "CosineDecay", "batchSize": 128, "epochs": 20},
    }
    runs = []
    for kind in ("whole", "interrupted"):
        folder = tmp_path / kind
        folder.mkdir()
        config = config_for(folder, model_type, name, evaluation={"everySteps": 5})
        config["trainer"]["tabular"]["parameters"] = chance[family.name]
        if kind == "whole":
            runs.append(run(folder, config))
        else:
            runs.append(resumed(interrupted(folder, config, 13, family=family.name), config))
    whole, broken = runs
    assert of_type(broken.events, "resumed")[0]["step"] == 10
    assert broken.lasting_metrics == whole.lasting_metrics
    predictions = [done.folder / "output" / "predictions.csv" for done in runs]
    assert predictions[0].read_bytes() == predictions[1].read_bytes()


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.steps is None])
def test_fit_at_once_is_one_step_with_one_evaluation(family, tmp_path):
    done = run(tmp_path, config_for(tmp_path, f"{family}_multiclass_classification", "wine"))
    (totals,) = of_type(done.events, "totals")
    assert (totals["totalSteps"], totals["evaluationEverySteps"]) == (1, 1)
    assert "evaluation every 1000 steps was clamped to the run's 1" in totals["notes"]
    assert [event["step"] for event in done.evaluations] == [1]
    assert done.stored_checkpoints == [1]


@pytest.mark.parametrize("family", FAMILIES)
def test_model_file_that_is_not_a_model_is_no_model(family, tmp_path, capsys):
    done = run(tmp_path, config_for(tmp_path, f"{family}_multiclass_classification", "wine"))
    replace_file(done, FAMILIES[family].model_file, os.urandom(2000))
    arguments = ["--model", str(tmp_path / "output"), "--data", str(tmp_path / "data.csv")]
    assert main(["predict", *arguments, "--output", str(tmp_path / "p.csv")]) == ExitCode.ARTIFACTS
    assert "is no model that this trainer stored" in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


def replace_file(done: Finished, name: str, content: bytes) -> None:
    """With a manifest that fits, as by somebody who means harm."""
    import hashlib

    output = done.folder / "output"
    (output / name).write_bytes(content)
    manifest = json.loads((output / "manifest.json").read_text())
    for file in manifest["files"]:
        if file["path"] == name:
            file.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    (output / "manifest.json").write_text(json.dumps(manifest))

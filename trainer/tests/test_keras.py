"""Networks: what a stored one may be made of, how large one may be, and what it learns in which unit."""

import csv
import json
import sys
import zipfile
from pathlib import Path

import pytest

from tests.demojob import of_type
from tests.finished import run
from tests.interruption import interrupted, resumed, verified
from tests.test_types import DROPOUT, config_for, replace_file
from trainingjob.cli import main
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.tabular.families import keras as networks
from trainingjob.tabular.families.family import family_module

QUICK = {"layers": [{"type": "Dense", "units": 4, "activation": "tanh"}], "batchSize": 128, "epochs": 6}


def job(folder: Path, model_type: str, name: str, parameters, **members):
    folder.mkdir(exist_ok=True)
    config = config_for(folder, model_type, name, **members)
    config["trainer"]["tabular"]["parameters"] = parameters
    return config


def test_stored_model_of_other_classes_is_not_loaded(tmp_path, capsys):
    done = run(tmp_path, job(tmp_path, "keras_multiclass_classification", "wine", QUICK))
    file = tmp_path / "output" / "model.keras"
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    made_of = json.loads(content["config.json"])
    lambda_layer = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": "os.getcwd"}}
    made_of["config"]["layers"].insert(1, lambda_layer)
    changed = tmp_path / "changed.keras"
    with zipfile.ZipFile(changed, "w") as archive:
        for name, text in {**content, "config.json": json.dumps(made_of).encode()}.items():
            archive.writestr(name, text)
    replace_file(done, "model.keras", changed.read_bytes())
    arguments = ["--model", str(tmp_path / "output"), "--data", str(tmp_path / "data.csv")]
    assert main(["predict", *arguments, "--output", str(tmp_path / "p.csv")]) == ExitCode.ARTIFACTS
    assert "it has a keras.layers.Lambda" in capsys.readouterr().err


def test_checkpoint_of_another_network_is_not_gone_on_with(tmp_path):
    config = job(tmp_path, "keras_regression", "diabetes", QUICK, evaluation={"everySteps": 2})
    before = interrupted(tmp_path, config, 5, family="keras")
    assert [each["step"] for each in verified(before.events)] == [4, 2]
    config["trainer"]["tabular"]["parameters"] = {**QUICK, "layers": DROPOUT}
    (event,) = of_type(resumed(before, config).events, "resumed")
    assert (event["step"], event["uri"]) == (0, None)
    assert "model.keras is no state of this network" in event["rejected"][0]["reason"]


def test_network_that_memory_does_not_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "available_bytes", lambda: 2**30)
    layers = [{"type": "Dense", "units": 4096, "activation": "relu"}] * 8
    with pytest.raises(TrainingError) as caught:
        run(tmp_path, job(tmp_path, "keras_regression", "diabetes", {**QUICK, "layers": layers}))
    assert caught.value.code == ExitCode.CONFIGURATION
    assert str(caught.value).startswith(
        "trainer.tabular.parameters.layers: 117518337 weights take about 1.8 GiB of memory in training, and this pod has 1.0 GiB free;"
    )


def test_unit_of_the_target_does_not_count(tmp_path):
    found = []
    for factor in (1, 1_000_000):
        config = job(tmp_path / str(factor), "keras_regression", "diabetes", {**QUICK, "learningRate": "0.02"})
        data = tmp_path / str(factor) / "data.csv"
        header, *rows = list(csv.reader(data.open(newline="")))
        with data.open("w", newline="") as file:
            csv.writer(file).writerows([header, *([*row[:-1], repr(float(row[-1]) * factor)] for row in rows)])
        found.append(run(tmp_path / str(factor), config).metrics)
    one, million = found
    assert one["r2"] == pytest.approx(million["r2"], abs=1e-3)
    assert one["r2"] > 0.3
    assert one["mae"] * 1_000_000 == pytest.approx(million["mae"], rel=1e-3)


def test_classes_weigh_the_same_where_it_is_asked(tmp_path):
    recalls = []
    for weight in ("None", "Balanced"):
        folder = tmp_path / weight
        config = job(folder, "keras_binary_classification", "above_median", {**QUICK, "learningRate": "0.02"})
        config["trainer"]["tabular"]["classWeight"] = weight
        data = folder / "data.csv"
        header, *rows = list(csv.reader(data.open(newline="")))
        few = [row for row in rows if row[-1] == "1"][:30]
        with data.open("w", newline="") as file:
            csv.writer(file).writerows([header, *(row for row in rows if row[-1] == "0"), *few])
        recalls.append(run(folder, config).metrics["recall"])
    assert recalls[0] < recalls[1]


def test_library_that_is_not_there_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "trainingjob.tabular.families.keras")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TrainingError) as caught:
        family_module("keras")
    assert str(caught.value) == (
        "trainer.tabular.modelType: keras needs torch, which is not in this image; install trainingjob[keras]"
    )

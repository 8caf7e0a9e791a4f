"""Cross-validation: the same figures as scikit-learn's own, from rows that nothing was chosen by, and the model as without."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_validate

from tests.demojob import demo_config, of_type, with_parameters
from tests.finished import run
from trainingjob import reporting
from trainingjob.exitcodes import ExitCode, TrainingError

LOSS = {"strategy": "SingleMetric", "metric": {"name": "eval/loss", "goal": "Minimize"}}


def folded(
    folder: Path, model: str = "xgboost_binary_classification", parameters=None, **dataset: Any
) -> dict[str, Any]:
    config = demo_config(folder, evaluation={"everySteps": 5}, scoring=LOSS)
    tabular = config["trainer"]["tabular"]
    tabular = {
        **tabular,
        "modelType": model,
        "parameters": {"nEstimators": 20} if parameters is None else parameters,
        "dataset": {**tabular["dataset"], **dataset},
    }
    return {**config, "trainer": {"tabular": tabular}}


def test_figures_are_those_of_scikit_learn_without_the_test_rows(tmp_path):
    done = run(tmp_path, folded(tmp_path, "random_forest_binary_classification", folds=5, testSplit="0.2"))
    found = done.metrics["cross_validation"]
    with (tmp_path / "diabetes.csv").open() as file:
        names, *rows = csv.reader(file)
    with (tmp_path / "output" / "heldout.csv").open() as file:
        test = {tuple(float(cell) for cell in row) for row in list(csv.reader(file))[1:]}
    kept = np.array([row for row in ([float(cell) for cell in row] for row in rows) if tuple(row) not in test])
    assert len(kept) == 442 - 89
    cv = StratifiedKFold(5, shuffle=True, random_state=42)
    forest = RandomForestClassifier(n_estimators=20, random_state=42)
    scores = cross_validate(
        forest, kept[:, :-1], kept[:, -1], cv=cv, scoring={"accuracy": "accuracy", "auc": "roc_auc"}
    )
    assert names[-1] == "above_median"
    for name in ("accuracy", "auc"):
        values = scores[f"test_{name}"]
        assert found[name]["values"] == pytest.approx(list(values), abs=1e-12)
        assert (found[name]["mean"], found[name]["std"]) == pytest.approx((values.mean(), values.std()))
    assert set(found) == {"folds", "rounds", "loss", "accuracy", "auc"}
    assert (found["folds"], found["rounds"]) == (5, 1)


@pytest.mark.parametrize("model", ["xgboost_binary_classification", "lightgbm_regression"])
def test_the_model_is_that_of_a_run_without(tmp_path, model):
    left = {}
    for name, dataset in (("with", {"folds": 3}), ("without", {})):
        folder = tmp_path / name
        folder.mkdir()
        left[name] = run(folder, folded(folder, model, **dataset))
    model_file = "model.json" if model.startswith("xgboost") else "model.txt"
    assert (tmp_path / "with" / "output" / model_file).read_bytes() == (
        tmp_path / "without" / "output" / model_file
    ).read_bytes()
    found = left["with"].lasting_metrics
    cross = found.pop("cross_validation")
    assert found == left["without"].lasting_metrics
    assert cross["rounds"] == left["with"].metrics["best_step"]
    details = [event.get("detail", "") for event in of_type(left["with"].events, "stage")]
    assert {"fold 1 of 3", "fold 2 of 3", "fold 3 of 3"} <= set(details)
    report = (tmp_path / "with" / "output" / "report.html").read_text()
    assert "<h2>Cross-validation</h2>" in report
    assert "Cross-validation" not in (tmp_path / "without" / "output" / "report.html").read_text()
    assert "Cross-validation over 3 folds: loss" in (tmp_path / "with" / "output" / "README.md").read_text()


def test_in_a_search_the_best_trial_is_cross_validated(tmp_path):
    config = folded(tmp_path, folds=3)
    tabular = {**config["trainer"]["tabular"], "search": {"trials": 2}}
    done = run(tmp_path, {**config, "trainer": {"tabular": tabular}})
    trials = json.loads((tmp_path / "output" / "search.json").read_text())["trials"]
    found = done.metrics["cross_validation"]
    assert found["rounds"] == trials[done.metrics["best_step"] - 1]["rounds"]
    assert len(found["accuracy"]["values"]) == 3


def table(folder: Path, rows: list[tuple[object, object]]) -> dict[str, Any]:
    with (folder / "few.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("a", "y"), *rows])
    return {"source": (folder / "few.csv").as_uri()}


WRONG = [
    (
        "xgboost_regression",
        [(row, row * 1.5) for row in range(8)],
        {"folds": 10, "testSplit": "0.2"},
        "6 rows cannot make 10 folds; write a lower dataset.folds, or add rows",
    ),
    (
        "xgboost_binary_classification",
        [(row, "no" if row % 8 else "yes") for row in range(40)],
        {"folds": 8},
        'class "yes" has 5 rows besides those of testSplit, fewer than the 8 folds',
    ),
]


@pytest.mark.parametrize(("model", "rows", "dataset", "sentence"), WRONG, ids=[sentence for *_, sentence in WRONG])
def test_fewer_rows_than_folds(tmp_path, model, rows, dataset, sentence):
    config = folded(tmp_path, model, **{**table(tmp_path, rows), **dataset})
    config["trainer"]["tabular"]["target"] = "y"
    with pytest.raises(TrainingError) as caught:
        run(tmp_path, config)
    assert caught.value.code == ExitCode.DATA
    assert sentence in str(caught.value)
    assert not (tmp_path / "checkpoints").exists() or not list((tmp_path / "checkpoints").iterdir())


def test_a_figure_that_a_fold_does_not_have_is_absent_with_its_reason(tmp_path):
    # In most folds of two rows both have the same target.
    config = folded(tmp_path, "xgboost_regression", folds=10, **table(tmp_path, [(row, row == 3) for row in range(20)]))
    config["trainer"]["tabular"]["target"] = "y"
    config["trainer"]["tabular"]["dataset"]["evalSplit"] = "0.5"
    done = run(tmp_path, config)
    assert "r2" not in done.metrics["cross_validation"]
    assert done.metrics["cross_validation"]["rmse"]["mean"] > 0
    reason = done.metrics["not_computed"]["cross_validation.r2"]
    assert reason == "it cannot be computed on the rows of every fold"


def test_a_run_that_is_asked_to_stop_does_not_begin_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "should_stop", lambda: True)
    done = run(tmp_path, with_parameters(folded(tmp_path, folds=3), nEstimators=20))
    assert done.code == ExitCode.STOPPED
    assert "cross_validation" not in done.metrics
    assert done.metrics["not_computed"]["cross_validation"] == "the run was asked to stop before all folds were done"


@pytest.mark.parametrize(("folds", "wanted"), [(1, "at least 2"), (21, "at most 20"), ("5", "a whole number")])
def test_wrong_number_of_folds(tmp_path, folds, wanted):
    with pytest.raises(TrainingError, match=f"trainer.tabular.dataset.folds: must be .*{wanted}") as caught:
        run(tmp_path, folded(tmp_path, folds=folds))
    assert caught.value.code == ExitCode.CONFIGURATION

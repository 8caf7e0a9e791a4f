"""Classes that are rare, that get lost, or that have names of their own."""

import csv

import numpy as np
import pytest
from sklearn.datasets import load_wine

from tests.finished import run
from tests.test_types import config_for
from trainingjob.exitcodes import ExitCode, TrainingError


def job(folder, model_type, rows, **members):
    """A job over rows of two numbers and a class."""
    config = config_for(folder, model_type, "wine")
    with (folder / "data.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("a", "b", "y"), *rows])
    config["trainer"]["tabular"] |= {"target": "y", "parameters": {}, **members}
    return config


def refused(folder, config):
    with pytest.raises(TrainingError) as caught:
        run(folder, config)
    assert caught.value.code == ExitCode.DATA
    return str(caught.value)


@pytest.mark.parametrize(
    ("model_type", "names"),
    [
        ("random_forest_binary_classification", ("kept", "lost")),
        ("random_forest_multiclass_classification", ("first", "lost", "last", "more")),
    ],
)
def test_class_of_which_every_row_lacks_a_value_is_no_class_to_train_on(model_type, names, tmp_path):
    rows = [(row, "" if name == "lost" else row % 7, name) for name in names for row in range(20)]
    config = job(tmp_path, model_type, rows, preprocessing={"imputing": "Drop"})
    assert 'every row of class "lost" lacks a value; choose another preprocessing.imputing than Drop' in refused(
        tmp_path, config
    )


def test_class_of_which_some_rows_lack_a_value_is_trained_on(tmp_path):
    rows = [(row, "" if row % 2 else row % 7, name) for name in ("no", "yes") for row in range(20)]
    config = job(tmp_path, "random_forest_binary_classification", rows, preprocessing={"imputing": "Drop"})
    assert run(tmp_path, config).metrics["rows"] == {"train": 16, "evaluation": 4}


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_svm_of_a_class_with_one_training_row_is_a_fault_of_the_data(task, tmp_path):
    others = ("one",) if task == "binary" else ("one", "two")
    rows = [(row, row % 7, name) for name in others for row in range(20)] + [(30, 3, "rare"), (31, 4, "rare")]
    config = job(tmp_path, f"svm_{task}_classification", rows)
    config["trainer"]["tabular"]["dataset"]["evalSplit"] = "0.4"
    said = refused(tmp_path, config)
    assert 'the training rows have 1 of class "rare", and svm needs 2 of each class; add rows of that class' in said


def test_svm_takes_a_class_with_two_training_rows(tmp_path):
    rows = [(row, row % 7, name) for name in ("one", "two") for row in range(20)]
    rows += [(30 + row, 3, "rare") for row in range(4)]
    config = job(tmp_path, "svm_multiclass_classification", rows)
    config["trainer"]["tabular"]["dataset"]["evalSplit"] = "0.5"
    assert run(tmp_path, config).code == ExitCode.SUCCESS


def test_class_may_be_called_as_a_line_of_scikit_learns_report(tmp_path):
    x, y = load_wine(return_X_y=True)
    names = ("accuracy", "macro avg", "weighted avg")
    # Two columns tell the three apart badly enough for figures that differ.
    rows = [(x[row, 1], x[row, 2], names[y[row]]) for row in range(len(y))]
    metrics = run(tmp_path, job(tmp_path, "random_forest_multiclass_classification", rows)).metrics
    matrix = np.array(metrics["confusion_matrix"])
    assert list(metrics["classes"]) == list(names)
    for place, name in enumerate(names):
        found = metrics["classes"][name]
        assert found["rows"] == matrix[place].sum() > 0
        assert found["recall"] == pytest.approx(matrix[place, place] / matrix[place].sum())
        assert found["precision"] == pytest.approx(matrix[place, place] / matrix[:, place].sum())
        both = found["precision"] + found["recall"]
        assert found["f1"] == pytest.approx(2 * found["precision"] * found["recall"] / both)
    assert metrics["precision"] == pytest.approx(np.mean([metrics["classes"][name]["precision"] for name in names]))

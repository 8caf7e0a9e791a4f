"""What counts for models whose library does not say it."""

import numpy as np
import pytest

from tests.finished import run
from tests.test_types import config_for
from trainingjob.tabular.importance import permuted
from trainingjob.tabular.predicted import Predicted, of_two
from trainingjob.tabular.prepare import Part
from trainingjob.tabular.tasks.task import task_named


class Known:
    """A model that is known: the first input counts twice as much as the second, the third not at all."""

    def __init__(self, two_classes=False):
        self._two_classes = two_classes
        self.asked = 0

    def predict(self, x):
        self.asked += len(x)
        found = 2 * x[:, 0] + x[:, 1]
        return of_two(1 / (1 + np.exp(-found))) if self._two_classes else Predicted(found)

    def importance(self):
        return None


def part(rows, inputs=3):
    x = np.random.default_rng(1).normal(size=(rows, inputs))
    return Part(np.arange(rows), x, 2 * x[:, 0] + x[:, 1])


def test_an_input_counts_by_what_its_shuffle_costs():
    name, found = permuted(task_named("regression"), Known(), part(1000), 5)
    assert name == "what the loss gains when its values are shuffled"
    # The mean squared error gains twice the variance of what is shuffled.
    assert found == pytest.approx([8, 2, 0], rel=0.2, abs=1e-12)
    again = permuted(task_named("regression"), Known(), part(1000), 5)[1]
    assert np.array_equal(found, again)


def test_of_two_classes_it_is_the_log_loss():
    rows = part(1000)
    classes = Part(rows.rows, rows.x, (rows.y > 0).astype(np.float64))
    found = permuted(task_named("binary_classification"), Known(two_classes=True), classes, 5)[1]
    assert found[0] > found[1] > 0.05
    assert found[2] == 0


@pytest.mark.parametrize(("rows", "inputs", "taken"), [(5000, 3, 2000), (5000, 500, 200), (5000, 8000, 20), (9, 3, 9)])
def test_what_it_asks_is_bounded(rows, inputs, taken):
    model = Known()
    found = permuted(task_named("regression"), model, part(rows, inputs), 5)[1]
    assert len(found) == inputs
    assert model.asked == taken * (inputs + 1)


@pytest.mark.parametrize(
    "model_type", ["svm_regression", "svm_multiclass_classification", "keras_binary_classification"]
)
def test_report_of_such_a_model_shows_it(model_type, tmp_path):
    data = {"regression": "diabetes", "binary_classification": "breast_cancer"}
    name = next((each for task, each in data.items() if model_type.endswith(task)), "wine")
    done = run(tmp_path, config_for(tmp_path, model_type, name))
    assert "feature_importance" not in done.metrics["not_computed"]
    assert (tmp_path / "output" / "feature_importance.png").read_bytes().startswith(b"\x89PNG")
    shown = (tmp_path / "output" / "report.html").read_text()
    assert "What counts most, by what the loss gains when its values are shuffled" in shown

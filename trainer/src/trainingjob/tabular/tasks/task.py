"""What a task can do, whatever family does the work."""

from collections.abc import Mapping
from typing import Any, Protocol

from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.table import Table
from trainingjob.tabular.predicted import Predicted


class Task(Protocol):
    """`metrics` are the names that an evaluation reports besides `eval/loss`."""

    name: str
    metrics: tuple[str, ...]
    main_metric: str

    def encode(self, table: Table) -> tuple[Floats, tuple[str, ...]]:
        """The target as numbers, (rows,), and the classes whose places they are; none for a regression.

        Raises:
            TrainingError: exit code 3, when the target is not one for this task.
        """

    def loss(self, truth: Floats, predicted: Predicted) -> float:
        """Mean squared error, or log loss."""

    def evaluate(self, truth: Floats, predicted: Predicted) -> dict[str, float]:
        """The metrics of an evaluation, by their names without `eval/`. One that cannot be computed is absent."""

    def report(
        self, truth: Floats, predicted: Predicted, classes: tuple[str, ...]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """All metrics of the result by the names in metrics.json, and why others are not among them."""


def task_named(name: str) -> Task:
    """The task of a model type."""
    # Imported here: a configuration is read where scikit-learn is not installed.
    from trainingjob.tabular.tasks.binary import Binary
    from trainingjob.tabular.tasks.multiclass import Multiclass
    from trainingjob.tabular.tasks.regression import Regression

    tasks: Mapping[str, type[Task]] = {task.name: task for task in (Regression, Binary, Multiclass)}
    return tasks[name]()

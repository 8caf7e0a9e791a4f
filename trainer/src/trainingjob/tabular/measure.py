"""What a model is worth on some rows."""

from trainingjob.tabular.families.family import Predictor
from trainingjob.tabular.prepare import Part
from trainingjob.tabular.tasks.task import Task


def measure(task: Task, model: Predictor, part: Part) -> dict[str, float]:
    """Loss and metrics on rows, as an evaluation names them."""
    predicted = model.predict(part.x)
    found = {"loss": task.loss(part.y, predicted), **task.evaluate(part.y, predicted)}
    return {f"eval/{name}": value for name, value in found.items()}


def loss_on(task: Task, model: Predictor, part: Part) -> float:
    """The loss alone."""
    return task.loss(part.y, model.predict(part.x))

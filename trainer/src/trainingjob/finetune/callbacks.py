"""Callbacks of the image that a job names; transformers calls them as it calls its own."""

from typing import Any

from transformers import TrainerCallback

from trainingjob.fields import invalid
from trainingjob.finetune import entrypoint

_WHERE = "trainer.fineTune.callbacks: entryPoint"


def callback_classes(entry_points: tuple[str, ...]) -> list[type[Any]]:
    """The classes that are named.

    Raises:
        TrainingError: exit code 2, when one is not in the image or is no TrainerCallback.
    """
    return [_class(name) for name in entry_points]


def make_callbacks(entry_points: tuple[str, ...]) -> list[Any]:
    """One of each, in the order in which they are named; raises TrainingError with exit code 2 as `callback_classes` does, and
    where a class cannot be made without arguments."""
    return [_made(name) for name in entry_points]


def _class(name: str) -> type[Any]:
    found = entrypoint.load(name, _WHERE)
    if not isinstance(found, type) or not issubclass(found, TrainerCallback):
        raise invalid(f"{_WHERE} {name} is no class that inherits from transformers.TrainerCallback")
    return found


def _made(name: str) -> Any:
    made = _class(name)
    try:
        return made()
    except Exception as error:
        raise invalid(f"{_WHERE} {name} cannot be made without arguments: {error!r}") from error

"""What the module of a family offers."""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from trainingjob.fields import invalid
from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.inputs import Inputs
from trainingjob.tabular.devices import Build, Device
from trainingjob.tabular.predicted import Predicted


@dataclass(frozen=True)
class Sample:
    """Rows to train on: `x` is (rows, columns), on disk for a family that streams where memory would not hold it; `y` (rows,),
    `weight` (rows,) or None where all weigh the same."""

    x: Inputs
    y: Floats
    weight: Floats | None


@dataclass(frozen=True)
class Problem:
    """What is to be learnt. `classes` is their number, 0 for a regression; `categorical` are columns that hold codes of
    categories; `parameters` are those of the family by their Python names; `device` is what it is trained on."""

    task: str
    classes: int
    names: tuple[str, ...]
    categorical: tuple[int, ...]
    parameters: Mapping[str, Any]
    train: Sample
    device: Device = field(default_factory=Device)


class Predictor(Protocol):
    """A model that is asked."""

    def predict(self, x: Inputs) -> Predicted:
        """What it says of rows, (rows, columns)."""

    def importance(self) -> tuple[str, Floats] | None:
        """What the library calls its measure of how much each column counts, and the figures, (columns,); None when it has none."""


class Trainable(Predictor, Protocol):
    """A model in the making. `done` is the number of its rounds."""

    @property
    def done(self) -> int: ...

    def advance(self, to: int) -> None:
        """Trains up to round `to`. What comes out depends on data, parameters and rounds alone: a model that goes on from a file
        becomes the same as one that was never interrupted, where both stop at the same rounds."""

    def save(self, path: Path) -> None:
        """Writes the model in the library's own format."""


class FamilyModule(Protocol):
    """`SEGMENTED`: each call of `advance` costs something, so that it is called at evaluations and points and not each round."""

    SEGMENTED: bool

    def builds(self) -> frozenset[Build]:
        """What the library can use of the GPUs that are here; asked only where there are some."""

    def begin(self, problem: Problem, model: Path | None, step: int = 0) -> Trainable:
        """A new model, or one that goes on from a file that was stored at round `step`. Raises ValueError when the file is no such
        model."""

    def load(self, path: Path, task: str, classes: int) -> Predictor:
        """A model to predict with, on the CPU whatever it was trained on. Raises ValueError when the file is no such model."""


def family_module(name: str) -> FamilyModule:
    """The module of a family; its library is imported with it.

    Raises:
        TrainingError: exit code 2, when the library is not installed.
    """
    module = {"random_forest": "randomforest"}.get(name, name)
    try:
        return cast(FamilyModule, importlib.import_module(f"trainingjob.tabular.families.{module}"))
    except ModuleNotFoundError as error:
        extra = "keras" if name == "keras" else "tabular"
        raise invalid(
            f"trainer.tabular.modelType: {name} needs {error.name}, which is not in this image; install trainingjob[{extra}]"
        ) from error


def threads() -> int:
    """Threads to train with: those of this process, or fewer where OMP_NUM_THREADS says so."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    mine = len(os.sched_getaffinity(0))
    return min(int(wanted), mine) if wanted.isdigit() and int(wanted) > 0 else mine


def plain_names(names: tuple[str, ...], forbidden: str) -> list[str]:
    """The columns' names, or f0, f1, … where the library does not take one of them."""
    if any(set(name) & set(forbidden) for name in names) or len(set(names)) < len(names):
        return [f"f{index}" for index in range(len(names))]
    return list(names)

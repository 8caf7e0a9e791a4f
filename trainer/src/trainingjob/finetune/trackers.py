"""Trackers of experiments: transformers' own callbacks, which the job's environment sets up as their makers say."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback, get_reporting_integration_callbacks

from trainingjob import reporting
from trainingjob.exitcodes import TrainingError
from trainingjob.fields import invalid
from trainingjob.finetune.eventfiles import EventFile

_WHERE = "trainer.fineTune.parameters.reportTo"
# Modules that a tracker needs, with the packages that hold them. One that is not here needs the package of its own name.
_NEEDS = {
    "azure_ml": {"azureml.core": "azureml-core"},
    "comet_ml": {"comet_ml": "comet-ml"},
    # It logs through MLflow.
    "dagshub": {"dagshub": "dagshub", "mlflow": "mlflow"},
    "flyte": {"flytekit": "flytekit"},
    "kubeflow": {},
    "tensorboard": {"tensorboardX": "tensorboardX"},
}


def check_trackers(names: tuple[str, ...]) -> None:
    """Refuses, with exit code 2, a tracker whose package is not in the image."""
    for name in names:
        missing = [package for module, package in _NEEDS.get(name, {name: name}).items() if not _is_there(module)]
        if missing:
            raise invalid(
                f"{_WHERE}: {name} needs the package {missing[0]}, which is not in this image; use an image that has it, or "
                f"leave {name} out"
            )


def make_trackers(names: tuple[str, ...], logs: Path) -> list[Any]:
    """A callback for each; TensorBoard's files go to `logs` unless TENSORBOARD_LOGGING_DIR says otherwise.

    Raises:
        TrainingError: exit code 2, when one cannot be made.
    """
    return [_Tracker(name, _made(name, logs)) for name in names]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _made(name: str, logs: Path) -> Any:
    if name == "tensorboard":
        place = os.environ.get("TENSORBOARD_LOGGING_DIR")
        return TensorBoardCallback(EventFile(logs if place is None else Path(place).expanduser()))
    (kind,) = get_reporting_integration_callbacks(name)
    try:
        return kind()
    except Exception as error:
        raise _not_started(name, error) from error


def _not_started(name: str, error: Exception) -> TrainingError:
    return invalid(
        f"{_WHERE}: {name} cannot be started: {error!r}; check what spec.trainer.env says for it, or leave {name} out"
    )


class _Tracker(TrainerCallback):  # type: ignore[misc]
    """Passes every event on. A tracker that fails when it is set up ends the run, which has cost next to nothing by then; one that
    fails later is left alone from there on: whoever keeps curves may be away, and the training is worth more."""

    def __init__(self, name: str, callback: Any) -> None:
        self._name, self._callback = name, callback
        self._failed = False

    def pass_on(self, event: str, *args: Any, **members: Any) -> Any:
        if self._failed:
            return None
        try:
            result = getattr(self._callback, event)(*args, **members)
        except Exception as error:
            if event == "on_train_begin":
                raise _not_started(self._name, error) from error
            self._failed = True
            message = f"{self._name} failed and gets nothing more of this attempt: {error!r}"
            reporting.emit({"type": "alert", "name": "TrackerFailed", "severity": "Warning", "message": message[:4000]})
            return None
        if event == "on_train_begin":
            print(f"tracker {self._name} initialised", flush=True)  # noqa: T201
        return result


def _passing_on(event: str) -> Callable[..., Any]:
    def passed(self: _Tracker, *args: Any, **members: Any) -> Any:
        return self.pass_on(event, *args, **members)

    return passed


for _event in (name for name in vars(TrainerCallback) if name.startswith("on_")):
    setattr(_Tracker, _event, _passing_on(_event))

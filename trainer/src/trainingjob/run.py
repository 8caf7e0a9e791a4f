"""One run by itself, in this process: what the agent starts as its child, and what `trainingjob run` does on a terminal."""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from trainingjob import __version__, rank, reporting
from trainingjob.config import Config, Custom
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import invalid
from trainingjob.finetune.libraries import missing, quieten
from trainingjob.finetune.parameters import FineTuneConfig
from trainingjob.loading import loading
from trainingjob.storage.s3settings import KEYS


def train_here(config: Config) -> int:
    """Trains in this process. What goes wrong is written to standard error and becomes the exit code."""
    if rank.launched():
        rank.begin()
    else:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: reporting.request_stop())
    try:
        if isinstance(config.trainer, Custom):
            raise invalid("trainer.custom: is started by the agent; run its command yourself")
        os.environ.update(config.storage.s3)
        if config.storage.keys:
            os.environ[KEYS] = json.dumps(config.storage.keys)
        return int(_train(config))
    except TrainingError as error:
        return _failed(error.code, str(error))
    except MemoryError:
        message = "the pod's memory did not suffice; choose a candidate with more, or fewer rows or columns"
        return _failed(ExitCode.OUT_OF_MEMORY, message)
    except Exception as error:
        traceback.print_exc()
        rank.tell_failure(f"{type(error).__name__}: {error}")
        return 1


def _failed(code: ExitCode, message: str) -> int:
    if rank.launched():
        rank.tell_failure(message)
    else:
        reporting.emit({"type": "failure", "message": message})
    sys.stderr.write(f"{message}\n")
    return int(code)


def _train(config: Config) -> int:
    # Imported here: each trainer needs libraries that the others, and the agent, do without.
    if isinstance(config.trainer, FineTuneConfig):
        quieten(config.trainer, publishes=config.output.hugging_face is not None)
        reporting.emit({"type": "stage", "stage": "Starting", "detail": "loading torch, transformers and trl"})
        try:
            from trainingjob.finetune.begin import fine_tune
        except ModuleNotFoundError as error:
            raise missing(error) from error
        return fine_tune(config, config.trainer, __version__)
    with loading():
        from trainingjob.tabular.train import train

    return train(config, __version__)


def with_output(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration with checkpoints and output below a folder of this machine."""
    base = folder.absolute().as_uri()
    return {
        **raw,
        "checkpoints": raw.get("checkpoints") or {},
        "storage": {"checkpoints": f"{base}/checkpoints", "output": f"{base}/output"},
    }

"""How the libraries behave in a pod; it must be said before they are imported."""

import os

from trainingjob.exitcodes import TrainingError
from trainingjob.fields import invalid
from trainingjob.finetune.hubtarget import SCHEME
from trainingjob.finetune.parameters import FineTuneConfig

_ALWAYS = {
    # Nobody is told what is trained here.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    # Progress is reported by us; bars only fill the log.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # TRL keeps ORPO among its experiments, which it would say at each import.
    "TRL_EXPERIMENTAL_SILENCE": "1",
    # A pod lives for one run: what compiling would win is lost in the first steps. With this name the compiler is not loaded either.
    "TORCHDYNAMO_DISABLE": "1",
}


def quieten(config: FineTuneConfig, *, publishes: bool) -> None:
    """Sets the environment for a run. What the job's own environment says goes first. `publishes`: its model goes to the Hub."""
    for name, value in _ALWAYS.items():
        os.environ.setdefault(name, value)
    at_the_hub = publishes or any(each.source.startswith(SCHEME) for each in (config.model, config.dataset))
    # Trackio keeps its runs there.
    if not at_the_hub and "trackio" not in config.parameters.report_to:
        # Some libraries look for newer files of their own at the Hub.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def missing(error: ModuleNotFoundError) -> TrainingError:
    """What is said where the image has no libraries for language models: exit code 2."""
    return invalid(f"trainer.fineTune: needs {error.name}, which is not in this image; install trainingjob[finetune]")

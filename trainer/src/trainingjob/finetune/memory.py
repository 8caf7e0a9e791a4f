"""Memory that runs out, on a GPU or off it, as the exit code that says so."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trainingjob.exitcodes import ExitCode, TrainingError

_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
_HOW = (
    "lower trainer.fineTune.parameters.perDeviceTrainBatchSize or maxLength, set gradientCheckpointing: true, train an "
    "adapter with lora or quantise with quantization, or choose a candidate with more memory"
)


@contextmanager
def watched() -> Iterator[None]:
    """Turns an end for want of memory or disk into one of ours: exit code 4, or 6 for the disk."""
    try:
        yield
    except MemoryError as error:
        raise _out_of_memory() from error
    except TrainingError:
        raise
    except Exception as error:
        words = str(error).lower()
        if isinstance(error, torch.OutOfMemoryError) or any(each in words for each in _WORDS):
            raise _out_of_memory() from error
        if "no space left" in words:
            raise TrainingError(
                ExitCode.ARTIFACTS, "the container's disk is full; raise spec.compute.containerDiskGB"
            ) from error
        raise


def free() -> None:
    """Gives back what nothing holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _out_of_memory() -> TrainingError:
    where = "the GPU's" if torch.cuda.is_available() else "the pod's"
    return TrainingError(ExitCode.OUT_OF_MEMORY, f"{where} memory did not suffice; {_HOW}")

"""Memory that runs out, on a GPU or off it, as the exit code that says so."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trainingjob import reporting
from trainingjob.disk import disk_full
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune.parameters import FineTuneConfig
from trainingjob.finetune.processes import with_batches

# How often a run goes on with half the batch.
MOST_HALVINGS = 3

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
        full = disk_full(error)
        if full is not None:
            raise full from error
        raise


def with_half_the_batch(config: FineTuneConfig) -> FineTuneConfig | None:
    """The same steps over the same rows, from at most half as many rows at once, and more batches; None for a batch of one."""
    parameters = config.parameters
    rows = parameters.per_device_train_batch_size
    if rows == 1:
        return None
    samples = rows * parameters.gradient_accumulation_steps
    fewer = next(fewer for fewer in range(rows // 2, 0, -1) if samples % fewer == 0)
    return with_batches(config, fewer, samples // fewer)


def tell_halved(config: FineTuneConfig) -> None:
    """Reports what the training goes on with."""
    parameters = config.parameters
    message = (
        f"memory did not suffice; going on with perDeviceTrainBatchSize {parameters.per_device_train_batch_size} and "
        f"gradientAccumulationSteps {parameters.gradient_accumulation_steps}"
    )
    reporting.emit({"type": "alert", "name": "BatchHalved", "severity": "Warning", "message": message})


def free() -> None:
    """Gives back what nothing holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _out_of_memory() -> TrainingError:
    where = "the GPU's" if torch.cuda.is_available() else "the pod's"
    return TrainingError(ExitCode.OUT_OF_MEMORY, f"{where} memory did not suffice; {_HOW}")

"""How many processes train, and what each of them takes of a step."""

from dataclasses import replace
from typing import Any

from trainingjob.config import Config
from trainingjob.fields import invalid
from trainingjob.finetune.parameters import FineTuneConfig, Parameters
from trainingjob.finetune.resume import samples_per_step


def wanted_processes(finetune: FineTuneConfig, gpus: int) -> int:
    """One for each GPU of the pod, unless the job says how many.

    Raises:
        TrainingError: exit code 2, when there are not so many GPUs, or none for FSDP.
    """
    wanted = finetune.distribution.processes
    if gpus == 0 and finetune.distribution.strategy == "FSDP":
        raise invalid(
            "trainer.fineTune.distribution.strategy: FSDP needs GPUs, and there are none; choose candidates with some, or write DDP"
        )
    if wanted is None:
        return max(1, gpus)
    if 0 < gpus < wanted:
        raise invalid(
            f"trainer.fineTune.distribution.processes: {wanted} are more than the pod's {gpus} GPUs; write at most {gpus}, or "
            "leave it out"
        )
    return wanted


def arranged(config: Config, finetune: FineTuneConfig, processes: int) -> tuple[FineTuneConfig, int]:
    """What each of how many processes takes.

    The steps of a run that began with another number of processes stay what they were, the same rows in the same order: fewer
    processes take more batches for one, more take fewer or smaller ones, and one that would have nothing to do is not started.
    """
    parameters = finetune.parameters
    samples = None if config.resume is None else samples_per_step(config.resume)
    if samples is None or samples == samples_of(parameters, processes):
        return finetune, processes
    for count in range(processes, 0, -1):
        each, rest = divmod(samples, count)
        if rest == 0 and each % (parameters.num_generations or 1) == 0:
            rows = max(rows for rows in range(1, parameters.per_device_train_batch_size + 1) if each % rows == 0)
            return with_batches(finetune, rows, each // rows), count
    return finetune, processes


def samples_of(parameters: Parameters, processes: int) -> int:
    """Rows of one step of the optimizer."""
    return parameters.per_device_train_batch_size * parameters.gradient_accumulation_steps * processes


def with_batches(finetune: FineTuneConfig, rows: int, batches: int) -> FineTuneConfig:
    """The same training with so many rows at once, and so many batches to a step."""
    changed = replace(finetune.parameters, per_device_train_batch_size=rows, gradient_accumulation_steps=batches)
    return replace(finetune, parameters=changed)


def batches_in(raw: dict[str, Any], finetune: FineTuneConfig) -> dict[str, Any]:
    """The configuration as it is sent, with the batches of this one."""
    trainer = raw["trainer"]["fineTune"]
    parameters = {
        **(trainer.get("parameters") or {}),
        "perDeviceTrainBatchSize": finetune.parameters.per_device_train_batch_size,
        "gradientAccumulationSteps": finetune.parameters.gradient_accumulation_steps,
    }
    return {**raw, "trainer": {"fineTune": {**trainer, "parameters": parameters}}}

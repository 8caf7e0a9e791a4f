"""Where a fine-tuning run begins: in this process, or in several that it starts."""

from dataclasses import replace

import torch

from trainingjob import reporting
from trainingjob.config import Config
from trainingjob.finetune.libraries import missing
from trainingjob.finetune.parameters import FineTuneConfig
from trainingjob.finetune.processes import arranged, wanted_processes
from trainingjob.loading import loading
from trainingjob.rank import launched


def fine_tune(config: Config, finetune: FineTuneConfig, version: str) -> int:
    """Trains, and returns the exit code. Raises TrainingError with that of what went wrong."""
    if launched():
        return _train(config, version)
    gpus = torch.cuda.device_count()
    finetune, processes = arranged(config, finetune, wanted_processes(finetune, gpus))
    if finetune != config.trainer:
        parameters = finetune.parameters
        message = (
            f"the run began with another number of processes; {processes} go on with perDeviceTrainBatchSize "
            f"{parameters.per_device_train_batch_size} and gradientAccumulationSteps "
            f"{parameters.gradient_accumulation_steps}, so that its steps stay what they were"
        )
        reporting.emit({"type": "alert", "name": "BatchRearranged", "severity": "Info", "message": message})
    if by_itself(processes, gpus, finetune):
        return _train(replace(config, trainer=finetune), version)
    # Imported here: it is of no use to one process.
    from trainingjob.finetune.launcher import launch

    return launch(config, finetune, processes, version)


def by_itself(processes: int, gpus: int, finetune: FineTuneConfig) -> bool:
    """Whether this very process trains. One that sees more GPUs than its own would share each batch out among them, which TRL refuses."""
    return processes == 1 and gpus <= 1 and finetune.distribution.strategy != "FSDP"


def _train(config: Config, version: str) -> int:
    # Imported here: who only starts others does not wait for the libraries.
    try:
        with loading():
            from trainingjob.finetune.train import train
    except ModuleNotFoundError as error:
        raise missing(error) from error
    return train(config, version)

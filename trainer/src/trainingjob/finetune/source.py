"""From the address of a model to a folder on this machine."""

from pathlib import Path

from trainingjob.fields import invalid
from trainingjob.finetune.parameters import ModelSource
from trainingjob.storage.folder import local_path

_CONFIG = "config.json"


def model_folder(model: ModelSource) -> Path:
    """The folder with a model's files.

    Raises:
        TrainingError: exit code 2, when there is no model at the address.
    """
    folder = local_path(model.source)
    if not (folder / _CONFIG).is_file():
        raise invalid(
            f"trainer.fineTune.model.source: {model.source} is no folder with a {_CONFIG}; write the folder that "
            "save_pretrained wrote"
        )
    return folder

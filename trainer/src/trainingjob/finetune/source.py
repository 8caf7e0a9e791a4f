"""From the address of a model to a folder on this machine."""

from dataclasses import dataclass
from pathlib import Path

from trainingjob.exitcodes import naming
from trainingjob.fields import invalid
from trainingjob.finetune.hubtarget import SCHEME
from trainingjob.finetune.parameters import ModelSource
from trainingjob.hub.download import model_at_hub
from trainingjob.storage.folder import local_path

_CONFIG = "config.json"


@dataclass(frozen=True)
class Base:
    """The model to begin with; `commit` is the Hub's, None for a folder."""

    folder: Path
    commit: str | None


def base_model(model: ModelSource) -> Base:
    """The folder with a model's files.

    Raises:
        TrainingError: exit code 2, when there is no model at the address; exit code 6, when the Hub does not answer.
    """
    if model.source.startswith(SCHEME):
        with naming("spec.trainer.fineTune.model.source"):
            found = model_at_hub(model.source, model.revision)
        base = Base(found.path, found.commit)
    else:
        base = Base(local_path(model.source), None)
    if not (base.folder / _CONFIG).is_file():
        raise invalid(
            f"trainer.fineTune.model.source: {model.source} is no folder with a {_CONFIG}; write the folder that "
            "save_pretrained wrote"
        )
    return base

"""Code of the image that a job names, as MODULE:NAME."""

import importlib
from typing import Any

from trainingjob.fields import invalid


def load(name: str, where: str) -> Any:
    """What the name stands for.

    Raises:
        TrainingError: exit code 2, when it is not in the image or its module cannot be imported.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise invalid(f"{where} {name} is not in this image: {error}; write MODULE:NAME") from error
    except Exception as error:
        raise invalid(f"{where} {name} cannot be imported: {error!r}") from error

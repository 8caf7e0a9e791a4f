"""A container's disk that is full, by the words of whoever wrote to it."""

import errno

from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.stages import size

_RAISE = "raise spec.compute.containerDiskGB, which the next attempt takes"
# What torch writes fails without a word of the disk.
_WORDS = ("no space left", "os error 28", "enforce fail at inline_container")


def disk_full(error: BaseException) -> TrainingError | None:
    """Exit code 6, when that is what the failure means."""
    words = str(error).lower()
    if getattr(error, "errno", None) != errno.ENOSPC and not any(each in words for each in _WORDS):
        return None
    return TrainingError(
        ExitCode.ARTIFACTS,
        f"the container's disk is full; {_RAISE}; checkpoints that were stored are kept",
    )


def no_room(wanted: int, free: int, what: str) -> None:
    """Raises exit code 6 when so many bytes will not fit, before they are paid for."""
    if wanted > free:
        raise TrainingError(
            ExitCode.ARTIFACTS, f"{what} has {size(wanted)}, and the container's disk {size(free)} free; {_RAISE}"
        )

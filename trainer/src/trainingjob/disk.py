"""A container's disk that is full, by the words of whoever wrote to it."""

import errno

from trainingjob.exitcodes import ExitCode, TrainingError

# What torch writes fails without a word of the disk.
_WORDS = ("no space left", "os error 28", "enforce fail at inline_container")


def disk_full(error: BaseException) -> TrainingError | None:
    """Exit code 6, when that is what the failure means."""
    words = str(error).lower()
    if getattr(error, "errno", None) != errno.ENOSPC and not any(each in words for each in _WORDS):
        return None
    return TrainingError(
        ExitCode.ARTIFACTS,
        "the container's disk is full; raise spec.compute.containerDiskGB, which the next attempt takes; checkpoints that were "
        "stored are kept",
    )

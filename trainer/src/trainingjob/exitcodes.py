"""Exit codes of trainer and agent, and the reasons they stand for in a job's status."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """What a process of ours ends with; any other code is a fault of the user's trainer."""

    SUCCESS = 0
    CONFIGURATION = 2
    DATA = 3
    OUT_OF_MEMORY = 4
    DIVERGED = 5
    ARTIFACTS = 6
    PREFLIGHT = 7
    STOPPED = 130
    PREEMPTED = 143


REASONS: dict[int, str] = {
    ExitCode.SUCCESS: "Succeeded",
    ExitCode.CONFIGURATION: "ConfigurationInvalid",
    ExitCode.DATA: "DataInvalid",
    ExitCode.OUT_OF_MEMORY: "OutOfMemory",
    ExitCode.DIVERGED: "Diverged",
    ExitCode.ARTIFACTS: "ArtifactsFailed",
    ExitCode.PREFLIGHT: "PreflightFailed",
    ExitCode.STOPPED: "Stopped",
    ExitCode.PREEMPTED: "Preempted",
}


class TrainingError(Exception):
    """An end that has its own exit code; the text is shown to the user as the job's failure."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


_NAMED = re.compile(r"\bspec\.[a-z]|\b(trainer\.(fineTune|tabular|custom)|checkpoints|output|storage)\.[a-z]\w*:")


@contextmanager
def naming(field: str) -> Iterator[None]:
    """Puts the field of a job that a person would change before the words of a TrainingError that name none."""
    try:
        yield
    except TrainingError as error:
        words = str(error)
        if not _NAMED.search(words):
            # Its kind says more than its code to some who catch it.
            error.args = (f"{field}: {words}",)
        raise

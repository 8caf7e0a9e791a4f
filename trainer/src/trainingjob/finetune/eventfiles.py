"""TensorBoard's files of a run: written at once, so that a checkpoint holds all that was logged up to its step."""

import shutil
import time
from pathlib import Path

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event

_PATTERN = "events.out.tfevents.*"


class EventFile:
    """What transformers writes to. tensorboardX's own writer leaves the writing to a thread, which a checkpoint would overtake."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: EventsWriter | None = None

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self._write(Event(wall_time=time.time(), step=step, summary=summary.scalar(name, value)))

    def add_text(self, name: str, text: str, step: int = 0) -> None:
        self._write(Event(wall_time=time.time(), step=step, summary=summary.text(name, text)))

    def flush(self) -> None:
        if self._open is not None:
            self._open.flush()

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _write(self, event: Event) -> None:
        if self._open is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            # The library's name has whole seconds: a later attempt must not write over an earlier one's file.
            self._open = EventsWriter(str(self._folder / "events"), f".{time.time_ns()}")
        self._open.write_event(event)


def is_event_file(path: Path) -> bool:
    """Whether a file of a checkpoint is one of these."""
    return path.match(_PATTERN)


def copy_event_files(source: Path, target: Path) -> None:
    """Makes the event files of `target` those of `source`, of earlier attempts too."""
    target.mkdir(parents=True, exist_ok=True)
    for path in target.glob(_PATTERN):
        path.unlink()
    for path in source.glob(_PATTERN):
        shutil.copyfile(path, target / path.name)

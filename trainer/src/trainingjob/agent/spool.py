"""Batches on disk until the operator has acknowledged them. One file for each batch, named by its sequence."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainingjob.storage.folder import write_file


@dataclass(frozen=True)
class Batch:
    """Events that travel together; the same sequence always carries the same events."""

    sequence: int
    events: list[dict[str, Any]]


class Spool:
    """A session of batches. A process that starts on the same disk goes on with it, so that nothing is lost or doubled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        state = folder / "session.json"
        if state.is_file():
            document = json.loads(state.read_text())
            self.session: str = document["session"]
            self._acknowledged: int = document["acknowledged"]
        else:
            self.session, self._acknowledged = secrets.token_hex(8), 0
            self._save()
        waiting = self._sequences()
        self._next = max([self._acknowledged, *waiting]) + 1

    def append(self, events: list[dict[str, Any]]) -> None:
        """Makes a batch durable; from here on it is not lost with the process."""
        write_file(self._file(self._next), json.dumps(events, allow_nan=False).encode())
        self._next += 1

    def first(self) -> Batch | None:
        """The oldest batch that is not acknowledged."""
        waiting = self._sequences()
        return Batch(waiting[0], json.loads(self._file(waiting[0]).read_text())) if waiting else None

    def acknowledge(self, sequence: int) -> None:
        """The operator has this batch for good."""
        self._acknowledged = max(self._acknowledged, sequence)
        self._save()
        self._file(sequence).unlink(missing_ok=True)

    def set_aside(self, sequence: int) -> Path:
        """Keeps a batch that the operator refuses where a person can look at it, and starts a new session for the rest."""
        aside = self._folder / "refused"
        aside.mkdir(exist_ok=True)
        kept = aside / f"{self.session}-{sequence}.json"
        self._file(sequence).replace(kept)
        self.restart()
        return kept

    def restart(self) -> None:
        """A new session: batches that wait are numbered anew from 1."""
        waiting = [self._file(sequence) for sequence in self._sequences()]
        self.session, self._acknowledged = secrets.token_hex(8), 0
        self._save()
        for number, file in enumerate(waiting, start=1):
            # Ascending, and never above the old number: no file is overwritten before it was moved.
            file.replace(self._file(number))
        self._next = len(waiting) + 1

    def events(self) -> list[dict[str, Any]]:
        """All events that are not acknowledged, oldest first."""
        return [event for sequence in self._sequences() for event in json.loads(self._file(sequence).read_text())]

    def _sequences(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob("*.json") if path.stem.isdigit())

    def _file(self, sequence: int) -> Path:
        return self._folder / f"{sequence:010d}.json"

    def _save(self) -> None:
        document = {"session": self.session, "acknowledged": self._acknowledged}
        write_file(self._folder / "session.json", json.dumps(document).encode())

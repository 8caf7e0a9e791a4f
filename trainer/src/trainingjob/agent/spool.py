"""Batches on disk until the operator has acknowledged them. One file for each batch; names sort in the order of the batches."""

import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainingjob.storage.folder import write_file

Event = dict[str, Any]
Snapshot = dict[str, Any]

_STATE = "session.json"


@dataclass(frozen=True)
class Batch:
    """Events that travel together; within a session the same sequence always carries the same events."""

    sequence: int
    events: list[Event]


class Spool:
    """A session of batches. A process that starts on the same disk goes on with it, so that nothing is lost or doubled (I7).

    The first batch that waits has the sequence after the last acknowledged one, so no file is ever renumbered: a new session
    is one write, and what is acknowledged is another.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        state = folder / _STATE
        self._unwritten: dict[str, list[Event]] = {}
        if state.is_file():
            document = json.loads(state.read_text())
            self.session: str = document["session"]
            self._acknowledged: int = document["acknowledged"]
            self._done: str = document["done"]
        else:
            self.session, self._acknowledged, self._done = secrets.token_hex(8), 0, ""
            self._save()
        self._names = self._waiting_files()
        self._next = int((self._names[-1] if self._names else self._done or "0").split("-")[0]) + 1

    def append(self, events: list[Event]) -> str | None:
        """Makes a batch durable. Returns why the disk did not take it, or None; then it waits in memory all the same."""
        name = f"{self._next:010d}"
        self._next += 1
        problem = self._write(name, events)
        self._names.append(name)
        return problem

    def first(self) -> Batch | None:
        """The oldest batch that is not acknowledged."""
        return Batch(self._acknowledged + 1, self._events(self._names[0])) if self._names else None

    def acknowledge(self) -> None:
        """The operator has the first batch for good."""
        self._acknowledged += 1
        self._done = self._names[0]
        self._save()
        self._forget_first()

    def split(self) -> None:
        """Halves the first batch, which has several events and was refused; the first half takes its sequence."""
        name = self._names[0]
        events = self._events(name)
        middle = len(events) // 2
        parts = [f"{name}-{index}" for index in range(2)]
        for part, half in zip(parts, (events[:middle], events[middle:]), strict=True):
            self._write(part, half)
        # Until the whole is gone the halves do not count: a crash before sends the whole again, to be refused and split again.
        self._forget_first()
        self._names[:0] = parts

    def set_aside(self) -> Path:
        """Keeps the first batch, which was refused, where a person can look at it; the next one takes its sequence."""
        name = self._names[0]
        kept = self._folder / "refused" / f"{self.session}-{name}.json"
        with suppress(OSError):
            write_file(kept, _encoded(self._events(name)))
        self._forget_first()
        return kept

    def restart(self) -> None:
        """Begins a new session: the batches that wait are numbered from 1."""
        self.session, self._acknowledged = secrets.token_hex(8), 0
        self._save()

    def snapshot(self) -> Snapshot:
        """All that another process needs to go on with this session on another disk."""
        batches = [self._events(name) for name in self._names]
        return {"session": self.session, "acknowledged": self._acknowledged, "batches": batches}

    def adopt(self, snapshot: Snapshot, *, same_session: bool) -> None:
        """Goes on with a snapshot instead of what is here: under its sequences, or as new batches of this session."""
        while self._names:
            self._forget_first()
        if same_session:
            self.session, self._acknowledged = snapshot["session"], snapshot["acknowledged"]
            self._save()
        for events in snapshot["batches"]:
            self.append(events)

    def _waiting_files(self) -> list[str]:
        """Names of the batches that wait. Removes what a crash left behind: of an acknowledgement, or halves of a split."""
        waiting: list[str] = []
        for name in sorted(path.stem for path in self._folder.glob("*.json") if path.name != _STATE):
            if name <= self._done or (waiting and name.startswith(f"{waiting[-1]}-")):
                self._file(name).unlink(missing_ok=True)
            else:
                waiting.append(name)
        return waiting

    def _write(self, name: str, events: list[Event]) -> str | None:
        try:
            write_file(self._file(name), _encoded(events))
        except OSError as error:
            self._unwritten[name] = events
            return str(error)
        return None

    def _forget_first(self) -> None:
        name = self._names.pop(0)
        self._unwritten.pop(name, None)
        with suppress(OSError):
            self._file(name).unlink()

    def _events(self, name: str) -> list[Event]:
        if name in self._unwritten:
            return self._unwritten[name]
        events: list[Event] = json.loads(self._file(name).read_text())
        return events

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _save(self) -> None:
        document = {"session": self.session, "acknowledged": self._acknowledged, "done": self._done}
        # A full disk must not stop what is delivered from memory. Only a crash on top of it could then make the operator see
        # a conflict, and a conflict begins a new session.
        with suppress(OSError):
            write_file(self._folder / _STATE, json.dumps(document).encode())


def chunks(events: Sequence[Event], most_events: int, most_bytes: int) -> list[list[Event]]:
    """Events in order, in batches that the operator takes; one that alone is larger is a batch of its own."""
    batches: list[list[Event]] = []
    size = 0
    for event in events:
        length = len(_encoded([event]))
        if not batches or len(batches[-1]) == most_events or size + length > most_bytes:
            batches.append([])
            size = 0
        batches[-1].append(event)
        size += length
    return batches


def _encoded(events: list[Event]) -> bytes:
    return json.dumps(events, allow_nan=False).encode()

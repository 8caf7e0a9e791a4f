"""The operator's book of batches: what it takes, what it takes as a repetition, and what it refuses."""

import json
from collections.abc import Callable, Sequence
from typing import Any

Event = dict[str, Any]


class Ledger:
    """Keeps batches as the protocol says: by session and sequence, each number once, with one content."""

    def __init__(self, refuses: Callable[[Event], bool] = lambda _event: False) -> None:
        self._refuses = refuses
        self._sessions: dict[str, list[str]] = {}
        self.events: list[Event] = []
        self.repetitions = 0
        self.conflicts = 0

    def accept(self, session: str, sequence: int, events: Sequence[Event]) -> int:
        """The status of the answer."""
        if any(self._refuses(event) for event in events):
            return 400
        batches = self._sessions.setdefault(session, [])
        content = json.dumps(events)
        if sequence <= len(batches) and batches[sequence - 1] == content:
            self.repetitions += 1
            return 200
        if sequence != len(batches) + 1:
            self.conflicts += 1
            return 409
        batches.append(content)
        self.events.extend(events)
        return 200

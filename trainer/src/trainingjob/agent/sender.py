"""Sends events in order, each exactly once as far as the operator counts, and signs of life in between."""

import threading
import time
from collections.abc import Callable
from typing import Any

from trainingjob.agent.backoff import Backoff
from trainingjob.agent.operator import Operator
from trainingjob.agent.spool import Spool

_MOST_EVENTS = 200
_COALESCE_SECONDS = 0.2
_URGENT = {"final", "evaluation", "checkpoint", "started"}


class Sender:
    """A thread between the run and the operator. Nothing that was added is lost while this disk lives."""

    def __init__(
        self,
        operator: Operator,
        spool: Spool,
        heartbeat_seconds: float,
        on_command: Callable[[dict[str, Any]], None],
        on_superseded: Callable[[], None],
    ) -> None:
        self._operator, self._spool = operator, spool
        self._heartbeat = heartbeat_seconds
        self._on_command, self._on_superseded = on_command, on_superseded
        self._changed = threading.Condition()
        self._waiting: list[dict[str, Any]] = []
        self._urgent = False
        self._idle = False
        self._closed = False
        self.stage = "Starting"
        self.step: int | None = None
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, event: dict[str, Any]) -> None:
        """Hands over one event; returns at once."""
        with self._changed:
            if event["type"] == "stage":
                self.stage = event["stage"]
            if event["type"] in ("point", "evaluation"):
                self.step = event["step"]
            self._waiting.append(event)
            self._urgent = self._urgent or event["type"] in _URGENT
            self._idle = False
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Waits until everything is acknowledged; False when that took longer than `seconds`."""
        deadline = time.monotonic() + seconds
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            while not self._idle and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            return self._idle

    def unacknowledged(self) -> list[dict[str, Any]]:
        """Events that the operator has not acknowledged, oldest first."""
        with self._changed:
            return [*self._spool.events(), *self._waiting]

    def close(self) -> None:
        """Sends nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        backoff = Backoff()
        next_heartbeat = time.monotonic() + self._heartbeat
        while not self._closed:
            self._collect(next_heartbeat)
            with self._changed:
                batch = self._spool.first()
                if batch is None and not self._waiting:
                    self._idle = True
                    self._changed.notify_all()
            if self._closed:
                return
            if batch is None and time.monotonic() < next_heartbeat:
                continue
            sequence = None if batch is None else batch.sequence
            events = [] if batch is None else batch.events
            reply = self._operator.post(self._spool.session, sequence, events, self.stage, self.step)
            next_heartbeat = time.monotonic() + self._heartbeat
            for command in reply.commands:
                self._on_command(command)
            if reply.verdict == "superseded":
                self.close()
                self._on_superseded()
            elif reply.verdict == "later":
                self._pause(backoff.next(reply.retry_after))
            else:
                backoff.reset()
                self._settle(reply.verdict, reply.detail, sequence)

    def _settle(self, verdict: str, detail: str, sequence: int | None) -> None:
        if sequence is None:
            return
        with self._changed:
            if verdict == "ok":
                self._spool.acknowledge(sequence)
            elif verdict == "conflict":
                self._spool.restart()
            else:
                kept = self._spool.set_aside(sequence)
                message = f"a batch was refused and kept in {kept}: {detail}"
                self._waiting.append(
                    {"type": "alert", "name": "BatchRefused", "severity": "Error", "message": message[:4000]}
                )

    def _collect(self, until: float) -> None:
        """Waits for events, or until a sign of life is due, and makes what came durable."""
        with self._changed:
            while not self._waiting and not self._closed and self._spool.first() is None:
                left = until - time.monotonic()
                if left <= 0:
                    return
                self._idle = True
                self._changed.notify_all()
                self._changed.wait(left)
            if not self._urgent and not self._closed:
                self._changed.wait(_COALESCE_SECONDS)
            self._urgent = False
            for start in range(0, len(self._waiting), _MOST_EVENTS):
                self._spool.append(self._waiting[start : start + _MOST_EVENTS])
            self._waiting = []

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._closed and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

"""Sends events in order, each exactly once as far as the operator counts, and signs of life in between."""

import math
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from trainingjob.agent.backoff import Backoff
from trainingjob.agent.lease import Lease
from trainingjob.agent.operator import Operator, Verdict
from trainingjob.agent.spool import Batch, Snapshot, Spool, chunks

Event = dict[str, Any]
T = TypeVar("T")

_MOST_EVENTS = 200
# Well below what the operator takes, which counts the rest of the request as well.
_MOST_BYTES = 512 * 1024
_COALESCE_SECONDS = 0.2
# Between two batches of a run that goes on; signs of life may be asked for more often.
_MOST_PAUSE_SECONDS = 1.0
_URGENT = {"final", "evaluation", "checkpoint", "started"}
_NEEDED_OF_FINAL = ("type", "outcome", "exitCode", "reason", "message")


class Sender:
    """A thread between the run and the operator. Nothing that was added is lost while this process or its disk lives.

    `on_settled` gets events that the operator has for good, or will never take.
    """

    def __init__(
        self,
        operator: Operator,
        spool: Spool,
        heartbeat_seconds: float,
        on_command: Callable[[Event], None],
        on_superseded: Callable[[], None],
        on_lease: Callable[[Lease], None],
        on_settled: Callable[[list[Event]], None],
    ) -> None:
        self._operator, self._spool = operator, spool
        self._heartbeat = heartbeat_seconds
        self._pause_seconds = min(_MOST_PAUSE_SECONDS, heartbeat_seconds)
        self._sent_at = -math.inf
        self._on_command, self._on_superseded, self._on_lease = on_command, on_superseded, on_lease
        self._on_settled = on_settled
        self._changed = threading.Condition()
        self._waiting: list[Event] = []
        self._urgent = False
        self._hurry = False
        self._idle = False
        self._closed = False
        self._disk_failed = False
        self.stage = "Starting"
        self.step: int | None = None
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, event: Event) -> None:
        """Hands over one event; returns at once."""
        with self._changed:
            self._note(event)
            self._waiting.append(event)
            self._urgent = self._urgent or event["type"] in _URGENT
            self._idle = False
            self._changed.notify_all()

    def seal(self, last: list[Event], store: Callable[[Snapshot], T]) -> T:
        """Adds the last events. `store` gets all that is not acknowledged before the operator can get any of `last`."""
        with self._changed:
            for event in last:
                self._note(event)
            self._spool_waiting()
            self._spool.append(last)
            self._idle, self._hurry = False, True
            try:
                return store(self._spool.snapshot())
            finally:
                self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Waits until everything is acknowledged; False when that took longer than `seconds`."""
        with self._changed:
            self._urgent = self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._idle or self._closed, seconds)
            return self._idle

    def close(self) -> None:
        """Sends nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        backoff = Backoff()
        next_heartbeat = time.monotonic() + self._heartbeat
        while True:
            batch = self._next(next_heartbeat)
            if self._closed:
                return
            if batch is None and time.monotonic() < next_heartbeat:
                continue
            sequence = None if batch is None else batch.sequence
            events = [] if batch is None else batch.events
            if batch is not None:
                self._sent_at = time.monotonic()
            reply = self._operator.post(self._spool.session, sequence, events, self.stage, self.step)
            next_heartbeat = time.monotonic() + self._heartbeat
            if reply.lease is not None:
                self._on_lease(reply.lease)
            for command in reply.commands:
                self._on_command(command)
            if reply.verdict == "superseded":
                self.close()
                self._on_superseded()
                return
            if reply.verdict == "ok":
                backoff.reset()
            if batch is not None:
                self._settle(batch, reply.verdict, reply.detail)
            if reply.verdict in ("later", "conflict"):
                sys.stderr.write(f"the operator did not take a report: {reply.detail}\n")
                self._pause(backoff.next(reply.retry_after))

    def _settle(self, batch: Batch, verdict: Verdict, detail: str) -> None:
        with self._changed:
            if verdict == "ok":
                self._spool.acknowledge()
                self._on_settled(batch.events)
            elif verdict == "conflict":
                self._spool.restart()
            elif verdict == "refused" and len(batch.events) > 1:
                self._spool.split()
            elif verdict == "refused":
                self._set_aside(batch.events[0], detail)
                self._on_settled(batch.events)

    def _set_aside(self, event: Event, detail: str) -> None:
        kept = self._spool.set_aside()
        message = f"an event of type {event['type']} was refused and kept in {kept}: {detail}"
        sys.stderr.write(f"{message}\n")
        # An alert about a refused alert could go on for ever.
        if event["type"] == "alert" and event.get("name") == "BatchRefused":
            return
        if event["type"] == "final" and set(event) - set(_NEEDED_OF_FINAL):
            # How the run ended must arrive, whatever is wrong with the rest.
            self._waiting.append({name: event[name] for name in _NEEDED_OF_FINAL})
        self._waiting.append({"type": "alert", "name": "BatchRefused", "severity": "Error", "message": message[:4000]})

    def _next(self, until: float) -> Batch | None:
        """The next batch; None when a sign of life is due before there is one. Makes durable what came."""
        with self._changed:
            batch = self._spool.first()
            if batch is None and not self._waiting and not self._closed:
                self._idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._ready(), until - time.monotonic())
            if self._waiting and not self._closed and batch is None:
                if not self._urgent:
                    # Events of one step come one by one; they travel together.
                    self._changed.wait_for(lambda: self._urgent or self._closed, _COALESCE_SECONDS)
                # A trainer that reports often costs one batch a second; the last words are not kept waiting.
                left = self._sent_at + self._pause_seconds - time.monotonic()
                self._changed.wait_for(lambda: self._hurry or self._closed, left)
            self._urgent = False
            self._spool_waiting()
            return self._spool.first()

    def _ready(self) -> bool:
        return bool(self._waiting) or self._closed or not self._idle

    def _note(self, event: Event) -> None:
        """What signs of life tell of the newest event."""
        if event["type"] == "stage":
            self.stage = event["stage"]
        elif event["type"] in ("point", "evaluation"):
            self.step = event["step"]

    def _spool_waiting(self) -> None:
        batches = chunks(self._waiting, _MOST_EVENTS, _MOST_BYTES)
        self._waiting = []
        problems = [problem for events in batches if (problem := self._spool.append(events)) is not None]
        if problems and not self._disk_failed:
            self._disk_failed = True
            message = (
                f"events wait in memory, because the container's disk does not take them: {problems[0]}; "
                "raise spec.compute.containerDiskGB"
            )
            alert = {"type": "alert", "name": "SpoolNotOnDisk", "severity": "Warning", "message": message[:4000]}
            self._spool.append([alert])

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._hurry, seconds)
            self._hurry = False

"""The run as a process group of its own: its events, its words and its end."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainingjob.agent.reported import NotReportable, parse_event
from trainingjob.reporting import ACKNOWLEDGED_FILE, CHECKPOINT_FILE, EVENTS_FILE, LEARNING_RATE_FILE, STOP_FILE
from trainingjob.storage.folder import write_file

_TAIL_LINES = 50
_LINE_CHARACTERS = 1000
_LOG_LINES_PER_SECOND = 20
_MOST_EVENT_BYTES = 256 * 1024
_MOST_COMPLAINTS = 20
_POLL_SECONDS = 0.1
_LEFTOVER_SECONDS = 2.0


class Child:
    """Starts a command and follows it. `on_event` gets each event that the command reports, in order; each line that it prints
    goes through `hide` first."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        workdir: Path,
        on_event: Callable[[dict[str, Any]], None],
        hide: Callable[[str], str],
    ) -> None:
        self._on_event, self._hide = on_event, hide
        self._events = workdir / "events.jsonl"
        self._stop_file = workdir / "stop"
        self._events.write_bytes(b"")
        self._stop_file.unlink(missing_ok=True)
        self._checkpoint_file = workdir / "checkpoint"
        self._checkpoint_file.unlink(missing_ok=True)
        self._learning_rate_file = workdir / "learning-rate"
        self._learning_rate_file.unlink(missing_ok=True)
        self._acknowledged_file = workdir / "acknowledged"
        self._acknowledged_file.unlink(missing_ok=True)
        self._complaints = 0
        self._gone = False
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        # The folder is the image's, not ours: commands may name files beside them.
        self._process = subprocess.Popen(
            list(command),
            env={
                **env,
                EVENTS_FILE: str(self._events),
                STOP_FILE: str(self._stop_file),
                CHECKPOINT_FILE: str(self._checkpoint_file),
                LEARNING_RATE_FILE: str(self._learning_rate_file),
                ACKNOWLEDGED_FILE: str(self._acknowledged_file),
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._ended = threading.Event()
        self._words = threading.Thread(target=self._read_words, name="words", daemon=True)
        self._reports = threading.Thread(target=self._read_events, name="reports", daemon=True)
        self._words.start()
        self._reports.start()

    def wait(self) -> int:
        """Waits for the end and for all that was reported before it. Returns the exit code; negative for a signal."""
        code = self._process.wait()
        # Processes that the run left behind may still write their last words; they end with it.
        self._words.join(_LEFTOVER_SECONDS)
        self.kill()
        self._gone = True
        self._words.join(_LEFTOVER_SECONDS)
        self._ended.set()
        self._reports.join()
        if self._complaints > _MOST_COMPLAINTS:
            more = self._complaints - _MOST_COMPLAINTS
            self._on_event(_alert(f"{more} more lines of the trainer's events were not taken"))
        return code

    def stop(self, grace_seconds: float) -> None:
        """Asks the run to store a checkpoint and end; kills what is left after the grace time."""
        with suppress(OSError):
            self._stop_file.write_bytes(b"")
        self._signal(signal.SIGTERM)
        timer = threading.Timer(grace_seconds, self.kill)
        timer.daemon = True
        timer.start()

    def request_checkpoint(self, request: str) -> None:
        """Asks the run for a checkpoint of its current step; each request has a text of its own."""
        with suppress(OSError):
            write_file(self._checkpoint_file, request.encode())

    def want_learning_rate(self, rate: float) -> None:
        """Asks the run to train on with this learning rate."""
        with suppress(OSError):
            write_file(self._learning_rate_file, repr(rate).encode())

    def acknowledge_checkpoint(self, manifest_sha256: str) -> None:
        """Tells the run that the operator has the report of this checkpoint, and so all that was reported before it."""
        with suppress(OSError):
            write_file(self._acknowledged_file, manifest_sha256.encode())

    def kill(self) -> None:
        """Ends every process of the group at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Once the group is gone its number may be another's.
        if not self._gone:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _read_words(self) -> None:
        pipe = self._process.stdout
        if pipe is None:
            return
        second, sent = 0, 0
        # A progress bar ends its lines with a carriage return, which counts; what never ends a line is cut.
        while text := pipe.readline(_LINE_CHARACTERS + 1):
            line = self._hide(text.rstrip("\n"))
            with suppress(OSError, ValueError):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
            self.tail.append(line)
            now = int(time.monotonic())
            second, sent = (second, sent + 1) if now == second else (now, 1)
            # More than people read is kept in the pod's own log only.
            if sent <= _LOG_LINES_PER_SECOND:
                self._on_event({"type": "log", "lines": [line]})

    def _read_events(self) -> None:
        with self._events.open("rb") as file:
            while True:
                # What was there at the end counts; a process that got away from the group may write on for ever.
                ended = self._ended.is_set()
                left = os.fstat(file.fileno()).st_size - file.tell()
                while left > 0 and (line := file.readline(min(left, _MOST_EVENT_BYTES))):
                    left -= len(line)
                    if not line.endswith(b"\n") and not ended and len(line) < _MOST_EVENT_BYTES:
                        file.seek(-len(line), os.SEEK_CUR)
                        break
                    self._take(line)
                if ended:
                    return
                self._ended.wait(_POLL_SECONDS)

    def _take(self, line: bytes) -> None:
        if line.strip() == b"":
            return
        try:
            event = parse_event(line)
        except NotReportable as problem:
            self._complaints += 1
            if self._complaints <= _MOST_COMPLAINTS:
                self._on_event(_alert(str(problem)))
            return
        self._on_event(event)


def _alert(message: str) -> dict[str, Any]:
    return {"type": "alert", "name": "EventUnreadable", "severity": "Warning", "message": message[:4000]}

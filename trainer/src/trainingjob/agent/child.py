"""The run as a process group of its own: its events, its words and its end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainingjob.reporting import EVENTS_FILE, STOP_FILE

_TAIL_LINES = 50
_LINE_CHARACTERS = 1000
_LOG_LINES_PER_SECOND = 20
_POLL_SECONDS = 0.1


class Child:
    """Starts a command and follows it. `on_event` gets each event that the command reports, in order."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], workdir: Path, on_event: Callable[[dict[str, Any]], None]
    ) -> None:
        self._on_event = on_event
        self._events = workdir / "events.jsonl"
        self._stop_file = workdir / "stop"
        self._events.write_bytes(b"")
        self._stop_file.unlink(missing_ok=True)
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._process = subprocess.Popen(
            list(command),
            cwd=workdir,
            env={**env, EVENTS_FILE: str(self._events), STOP_FILE: str(self._stop_file), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._read_words, self._read_events)
        ]
        for thread in self._threads:
            thread.start()

    def wait(self) -> int:
        """Waits for the end and for all that was reported before it. Returns the exit code; negative for a signal."""
        code = self._process.wait()
        self._ended.set()
        self._threads[1].join()
        # A grandchild may hold the pipe open; its words are not waited for longer than this.
        self._threads[0].join(timeout=2)
        self.kill()
        return code

    def stop(self, grace_seconds: float) -> None:
        """Asks the run to store a checkpoint and end; kills what is left after the grace time."""
        self._stop_file.write_bytes(b"")
        self._signal(signal.SIGTERM)
        timer = threading.Timer(grace_seconds, self.kill)
        timer.daemon = True
        timer.start()

    def kill(self) -> None:
        """Ends every process of the group at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def _read_words(self) -> None:
        pipe = self._process.stdout
        if pipe is None:
            return
        second, sent = 0, 0
        for raw in pipe:
            line = raw.decode(errors="replace").rstrip("\r\n")[:_LINE_CHARACTERS]
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            self.tail.append(line)
            now = int(time.monotonic())
            second, sent = (second, sent + 1) if now == second else (now, 1)
            # More than people read is kept in the pod's own log only.
            if sent <= _LOG_LINES_PER_SECOND:
                self._on_event({"type": "log", "lines": [line]})

    def _read_events(self) -> None:
        rest = b""
        with self._events.open("rb") as file:
            while True:
                ended = self._ended.is_set()
                chunk = file.read(1024 * 1024)
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._on_event(_parsed(line))
                if chunk == b"":
                    if ended:
                        return
                    self._ended.wait(_POLL_SECONDS)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if isinstance(event, dict) and isinstance(event.get("type"), str):
        return event
    words = line.decode(errors="replace")[:200]
    return {
        "type": "alert",
        "name": "EventUnreadable",
        "severity": "Warning",
        "message": f"the trainer reported what is no event: {words}",
    }

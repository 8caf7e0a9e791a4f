"""The agent's life: preflight, configuration, run, final report, hold, and the pod's end."""

import json
import queue
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainingjob import __version__
from trainingjob.agent import preflight
from trainingjob.agent.backoff import Backoff
from trainingjob.agent.child import Child
from trainingjob.agent.finalreport import store_final, stored_final
from trainingjob.agent.identity import Identity, read_identity
from trainingjob.agent.operator import Operator
from trainingjob.agent.podkey import PodKey
from trainingjob.agent.sender import Sender
from trainingjob.agent.spool import Spool
from trainingjob.config import Config, Custom, parse_agent, parse_config
from trainingjob.exitcodes import REASONS, ExitCode, TrainingError

Event = dict[str, Any]

_PRIVATE = ("TRAININGJOB_TOKEN", "RUNPOD_API_KEY")
_HOLDING: Event = {"type": "stage", "stage": "Holding"}


def run_agent(environment: Mapping[str, str]) -> int:
    """Runs one attempt. Returns only when the pod is being ended: a plain exit would make the platform start it again."""
    try:
        identity = read_identity(environment)
    except TrainingError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.code)
    return _Agent(identity, environment).live()


@dataclass
class _Signals:
    """What was asked of the agent from outside."""

    terminated: threading.Event = field(default_factory=threading.Event)
    superseded: threading.Event = field(default_factory=threading.Event)
    stop_requested: threading.Event = field(default_factory=threading.Event)


class _Agent:
    def __init__(self, identity: Identity, environment: Mapping[str, str]) -> None:
        self._identity, self._environment = identity, environment
        self._operator, self._pod_key = Operator(identity), PodKey(identity)
        self._signals = _Signals()
        self._workdir = _workdir(identity)
        self._child: Child | None = None
        self._grace = 0.0
        self._result: Event = {}
        self._failure: str | None = None
        self._sender: Sender | None = None

    def live(self) -> int:
        self._listen_to_signals()
        raw = self._configuration()
        if raw is None:
            return self._leave(int(ExitCode.PREEMPTED))
        try:
            config = parse_config(raw)
        except TrainingError as error:
            return self._unusable(raw, error)
        self._grace = config.agent.stop_grace * 0.8
        spool = Spool(self._workdir / "spool")
        before = stored_final(config)
        if before is not None:
            spool.adopt(before.waiting, same_session=before.attempt == config.job.attempt)
            return self._hold(self._open_sender(spool, config.agent.heartbeat), config.agent.hold, before.exit_code)
        sender = self._open_sender(spool, config.agent.heartbeat)
        sender.add({"type": "started", "trainerVersion": __version__})
        try:
            final = self._final(config, sender)
        except Exception as error:
            # An end like any other: a plain crash would make the platform start, and bill, the pod again and again.
            traceback.print_exc()
            final = _ended(1, "Failed", f"the agent itself failed: {error!r}; this is a fault of the trainer image", [])
        if self._signals.superseded.is_set() and final["outcome"] != "Succeeded":
            return self._leave(final["exitCode"])
        return self._report(config, sender, final)

    def _listen_to_signals(self) -> None:
        # A handler runs in the middle of anything, locks held; only a queue may be touched there.
        arrived: queue.SimpleQueue[int] = queue.SimpleQueue()

        def obey() -> None:
            while True:
                arrived.get()
                self._terminated()

        threading.Thread(target=obey, name="signals", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: arrived.put(number))

    def _configuration(self) -> Any:
        """Asks until there is a configuration; None when the pod is to end instead."""
        backoff = Backoff(least=0.3, most=10)
        while not self._signals.terminated.is_set():
            reply, body = self._operator.config()
            if reply.verdict == "ok":
                return body
            if reply.verdict == "superseded":
                self._signals.superseded.set()
                return None
            sys.stderr.write(f"no configuration yet: {reply.detail}\n")
            self._signals.terminated.wait(backoff.next(reply.retry_after))
        return None

    def _unusable(self, raw: Any, error: TrainingError) -> int:
        """The operator sent what this trainer does not understand: as a rule, an image of another version."""
        durations = raw.get("agent") if isinstance(raw, dict) else None
        try:
            agent = parse_agent(durations)
        except TrainingError:
            agent = parse_agent(None)
        sender = self._open_sender(Spool(self._workdir / "spool"), agent.heartbeat)
        sender.seal([_ended(int(error.code), "Failed", str(error), []), _HOLDING], lambda _: None)
        return self._hold(sender, agent.hold, int(error.code))

    def _open_sender(self, spool: Spool, heartbeat: float) -> Sender:
        sender = Sender(self._operator, spool, heartbeat, self._command, self._on_superseded)
        self._sender = sender
        sender.start()
        return sender

    def _final(self, config: Config, sender: Sender) -> Event:
        """Trains, and says how it ended."""
        try:
            preflight.check(self._identity, config, self._workdir)
        except TrainingError as error:
            return _ended(int(error.code), "Failed", str(error), [])
        problem = self._pod_key.problem()
        if problem is not None:
            words = f"this pod could not end itself if the operator went away: {problem}"
            sender.add({"type": "alert", "name": "PodKeyRefused", "severity": "Warning", "message": words[:4000]})
        if self._asked_to_end():
            return self._never_began()
        try:
            child = Child(self._command_line(config), self._child_env(config), self._workdir, self._event)
        except (OSError, ValueError) as error:
            words = " ".join(config.trainer.command) if isinstance(config.trainer, Custom) else "the trainer"
            why = error.strerror if isinstance(error, OSError) else error
            return _ended(
                int(ExitCode.CONFIGURATION), "Failed", f"cannot start {words[:1000]}: {why}; is it in the image?", []
            )
        self._child = child
        # What was asked for in between found no child to tell.
        if self._signals.superseded.is_set():
            child.kill()
        elif self._asked_to_end():
            child.stop(self._grace)
        code = child.wait()
        return self._verdict(code, list(child.tail))

    def _never_began(self) -> Event:
        if self._signals.stop_requested.is_set():
            return _ended(int(ExitCode.STOPPED), "Stopped", "The stop came before the training began.", [])
        return _ended(int(ExitCode.PREEMPTED), "Stopped", "The pod was ended before the training began.", [])

    def _verdict(self, code: int, tail: list[str]) -> Event:
        extra: Event = {key: self._result[key] for key in ("bestStep", "output", "metrics") if key in self._result}
        if code == 0:
            return {**_ended(0, "Succeeded", "The trainer finished.", tail), **extra}
        if self._signals.terminated.is_set():
            return _ended(int(ExitCode.PREEMPTED), "Stopped", "The pod was ended from outside while it trained.", tail)
        if self._signals.stop_requested.is_set():
            words = (
                "The trainer stopped as asked."
                if code == ExitCode.STOPPED
                else f"The trainer was asked to stop and ended with {_words(code)}."
            )
            return {**_ended(int(ExitCode.STOPPED), "Stopped", words, tail), **extra}
        last = next((line for line in reversed(tail) if line.strip()), "")
        message = self._failure or f"The trainer ended with {_words(code)}" + (
            f"; its last words: {last}" if last else " and said nothing."
        )
        return _ended(code, "Failed", message, tail)

    def _report(self, config: Config, sender: Sender, final: Event) -> int:
        """Stores the end, then reports it."""
        # A container that the platform ended is started elsewhere and trains again, so it leaves no end behind.
        lasting = final["exitCode"] != ExitCode.PREEMPTED
        problem = sender.seal(
            [final, _HOLDING], lambda waiting: store_final(config, final, waiting) if lasting else None
        )
        if problem is not None:
            sender.add({"type": "alert", "name": "FinalNotStored", "severity": "Warning", "message": problem[:4000]})
        return self._hold(sender, config.agent.hold, final["exitCode"])

    def _hold(self, sender: Sender, seconds: float, code: int) -> int:
        """Waits for the operator to take the final report and to end the pod; if it does not come, ends the pod itself.

        One bound for both: a pod whose report nobody takes is billed no longer than one whose end nobody ordered. The report
        is in storage then, and is sent on until the pod is gone.
        """
        deadline = time.monotonic() + seconds
        sender.flush(seconds)
        while time.monotonic() < deadline and not self._asked_to_leave():
            time.sleep(0.05)
        return self._leave(code)

    def _leave(self, code: int) -> int:
        """Ends the pod by its own key unless it is being ended already."""
        if self._child is not None:
            self._child.kill()
        if not self._signals.terminated.is_set():
            self._pod_key.end_pod(self._signals.terminated)
        if self._sender is not None:
            self._sender.close()
        return code

    def _asked_to_leave(self) -> bool:
        return self._signals.terminated.is_set() or self._signals.superseded.is_set()

    def _asked_to_end(self) -> bool:
        return self._asked_to_leave() or self._signals.stop_requested.is_set()

    def _terminated(self) -> None:
        self._signals.terminated.set()
        if self._child is not None:
            self._child.stop(self._grace)

    def _on_superseded(self) -> None:
        self._signals.superseded.set()
        if self._child is not None:
            self._child.kill()

    def _command(self, command: Event) -> None:
        if command.get("type") == "stop" and not self._signals.stop_requested.is_set():
            self._signals.stop_requested.set()
            if self._child is not None:
                self._child.stop(self._grace)

    def _event(self, event: Event) -> None:
        kind = event["type"]
        if kind == "result":
            self._result = event
        elif kind == "failure":
            self._failure = event["message"]
        elif self._sender is not None:
            self._sender.add(event)

    def _command_line(self, config: Config) -> list[str]:
        if isinstance(config.trainer, Custom):
            return list(config.trainer.command)
        file = self._workdir / "config.json"
        # It holds the job's secrets.
        file.touch(mode=0o600)
        file.write_text(json.dumps(config.raw))
        return [sys.executable, "-m", "trainingjob", "run", "--config", str(file)]

    def _child_env(self, config: Config) -> dict[str, str]:
        """The pod's environment and the job's, without the keys that only the agent needs."""
        own = {name: value for name, value in self._environment.items() if name not in _PRIVATE}
        stored = {
            "TRAININGJOB_CHECKPOINTS_URI": config.storage.checkpoints,
            "TRAININGJOB_OUTPUT_URI": config.storage.output,
        }
        return {**own, **config.env, **{name: value for name, value in stored.items() if value is not None}}


def _ended(code: int, outcome: str, message: str, tail: list[str]) -> Event:
    reason = REASONS.get(code, "TrainerFailed")
    return {
        "type": "final",
        "outcome": outcome,
        "exitCode": code,
        "reason": reason,
        "message": message[:4000],
        "logTail": tail,
    }


def _workdir(identity: Identity) -> Path:
    """A folder of this attempt; where the image's folder is not ours to write, one for temporary files."""
    folder = Path.cwd() / ".trainingjob" / f"{identity.uid}-{identity.attempt}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="trainingjob-"))
    return folder


def _words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    if -code == signal.SIGKILL:
        return "signal SIGKILL, as when the pod's memory runs out"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"

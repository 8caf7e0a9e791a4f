"""The agent's life: preflight, configuration, run, final report, hold, and the pod's end."""

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainingjob import __version__
from trainingjob.agent import preflight
from trainingjob.agent.backoff import Backoff
from trainingjob.agent.child import Child
from trainingjob.agent.deadman import DeadMan
from trainingjob.agent.ending import Asked, ended, never_began, verdict
from trainingjob.agent.finalreport import store_final, stored_final
from trainingjob.agent.hide import hider
from trainingjob.agent.identity import Identity, read_identity
from trainingjob.agent.launch import child_environment, command_line, secret_values, storage_environment, work_folder
from trainingjob.agent.learningrates import LearningRates
from trainingjob.agent.line import Line
from trainingjob.agent.operator import Operator
from trainingjob.agent.podkey import PodKey
from trainingjob.agent.pull import PullLine
from trainingjob.agent.pullserver import serve_turns
from trainingjob.agent.push import PushLine
from trainingjob.agent.sender import Sender
from trainingjob.agent.spool import Spool
from trainingjob.config import Config, Custom, parse_agent, parse_config
from trainingjob.exitcodes import ExitCode, TrainingError

Event = dict[str, Any]

_HOLDING: Event = {"type": "stage", "stage": "Holding"}
_LAST_WORDS_SECONDS = 3.0


def run_agent(environment: Mapping[str, str]) -> int:
    """Runs one attempt. Returns only when the pod is being ended: a plain exit would make the platform start it again."""
    try:
        identity = read_identity(environment)
        line = _line(identity)
    except TrainingError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.code)
    return _Agent(identity, environment, line).live()


def _line(identity: Identity) -> Line:
    """The only place that knows who calls whom."""
    if identity.listen is None:
        return PushLine(identity)
    line = PullLine(identity)
    serve_turns(identity.listen, line.turn)
    return line


@dataclass
class _Signals:
    """What was asked of the agent from outside. `leaving` is set with each of them after which the pod is to end."""

    terminated: threading.Event = field(default_factory=threading.Event)
    superseded: threading.Event = field(default_factory=threading.Event)
    stop_requested: threading.Event = field(default_factory=threading.Event)
    leaving: threading.Event = field(default_factory=threading.Event)
    expired: str | None = None

    def asked(self) -> Asked:
        return Asked(expired=self.expired, terminated=self.terminated.is_set(), stopped=self.stop_requested.is_set())


class _Agent:
    def __init__(self, identity: Identity, environment: Mapping[str, str], line: Line) -> None:
        self._identity, self._environment = identity, environment
        self._operator, self._pod_key = Operator(line, identity.pod_id), PodKey(identity)
        self._signals = _Signals()
        self._dead_man = DeadMan(identity.dead_man, identity.hard_end, self._on_expiry)
        self._workdir = work_folder(identity)
        self._child: Child | None = None
        self._grace = 0.0
        self._checkpoint_requests: list[str] = []
        self._learning_rates = LearningRates()
        self._result: Event = {}
        self._failure: str | None = None
        self._sender: Sender | None = None
        self._left = threading.Event()
        # Where signals are written to, for as long as the process lives.
        self._open: socket.socket | None = None

    def live(self) -> int:
        self._dead_man.start()
        self._listen_to_signals()
        raw = self._configuration()
        if raw is None:
            return self._leave(int(ExitCode.PREEMPTED))
        try:
            config = parse_config(raw)
        except TrainingError as error:
            return self._unusable(raw, error)
        os.environ.update(storage_environment(config))
        self._grace = config.agent.stop_grace * 0.8
        spool = Spool(self._workdir / "spool")
        before = stored_final(config)
        if before is not None:
            spool.adopt(before.waiting, same_session=before.attempt == config.job.attempt)
            return self._hold(self._open_sender(spool, config.agent.heartbeat), config.agent.hold, before.exit_code)
        sender = self._open_sender(spool, config.agent.heartbeat)
        self._start_report(sender)
        try:
            final = self._final(config, sender)
        except Exception as error:
            # An end like any other: a plain crash would make the platform start, and bill, the pod again and again.
            traceback.print_exc()
            final = ended(1, "Failed", f"the agent itself failed: {error!r}; this is a fault of the trainer image", [])
        if self._signals.superseded.is_set() and final["outcome"] != "Succeeded":
            return self._leave(final["exitCode"])
        return self._report(config, sender, final)

    def _listen_to_signals(self) -> None:
        # A Python handler runs in the main thread, which may wait for its child in the kernel while another thread got the
        # signal; and it may touch nothing there. The bytes come at once, whoever got it.
        told, tell = socket.socketpair()
        tell.setblocking(False)

        def obey() -> None:
            while told.recv(1):
                self._terminated()

        threading.Thread(target=obey, name="signals", daemon=True).start()
        signal.set_wakeup_fd(tell.fileno())
        self._open = tell
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)

    def _configuration(self) -> Any:
        """Asks until there is a configuration; None when the pod is to end instead."""
        backoff = Backoff(least=0.3, most=10)
        while not self._signals.leaving.is_set():
            reply, body = self._operator.config()
            if reply.verdict == "ok":
                return body
            if reply.verdict == "superseded":
                self._signals.superseded.set()
                return None
            sys.stderr.write(f"no configuration yet: {reply.detail}\n")
            self._signals.leaving.wait(backoff.next(reply.retry_after))
        return None

    def _unusable(self, raw: Any, error: TrainingError) -> int:
        """The operator sent what this trainer does not understand: as a rule, an image of another version."""
        durations = raw.get("agent") if isinstance(raw, dict) else None
        try:
            agent = parse_agent(durations)
        except TrainingError:
            agent = parse_agent(None)
        sender = self._open_sender(Spool(self._workdir / "spool"), agent.heartbeat)
        sender.seal([ended(int(error.code), "Failed", str(error), []), _HOLDING], lambda _: None)
        return self._hold(sender, agent.hold, int(error.code))

    def _open_sender(self, spool: Spool, heartbeat: float) -> Sender:
        sender = Sender(
            self._operator,
            spool,
            heartbeat,
            self._command,
            self._on_superseded,
            self._dead_man.extend,
            self._on_settled,
        )
        self._sender = sender
        sender.start()
        return sender

    def _start_report(self, sender: Sender) -> None:
        """Says that the agent is there, and whether it could end its pod by itself."""
        problem = self._pod_key.problem()
        armed = "Armed" if problem is None else "Unarmed"
        sender.add({"type": "started", "trainerVersion": __version__, "deadMan": armed})
        if problem is not None:
            words = (
                f"this pod could not end itself if the operator went away: {problem}; it would stop training and keep its "
                "state, but Runpod would bill it until somebody ends it"
            )
            sender.add({"type": "alert", "name": "PodKeyRefused", "severity": "Warning", "message": words[:4000]})

    def _final(self, config: Config, sender: Sender) -> Event:
        """Trains, and says how it ended."""
        try:
            preflight.check(self._identity, config, self._workdir)
        except TrainingError as error:
            return ended(int(error.code), "Failed", str(error), [])
        if self._asked_to_end():
            return never_began(self._signals.asked())
        try:
            environment = child_environment(config, self._environment)
            hide = hider(secret_values(config, self._environment))
            child = Child(command_line(config, self._workdir), environment, self._workdir, self._event, hide)
        except (OSError, ValueError) as error:
            words = " ".join(config.trainer.command) if isinstance(config.trainer, Custom) else "the trainer"
            why = error.strerror if isinstance(error, OSError) else error
            return ended(
                int(ExitCode.CONFIGURATION), "Failed", f"cannot start {words[:1000]}: {why}; is it in the image?", []
            )
        self._child = child
        # What was asked for in between found no child to tell.
        if self._signals.superseded.is_set():
            child.kill()
        elif self._asked_to_end():
            child.stop(self._grace)
        else:
            if self._checkpoint_requests:
                child.request_checkpoint(self._checkpoint_requests[-1])
            if self._learning_rates.newest is not None:
                child.want_learning_rate(self._learning_rates.newest)
        code = child.wait()
        return verdict(code, list(child.tail), self._signals.asked(), self._result, self._failure)

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
        if self._signals.expired is not None:
            # Whoever was silent until now need not be waited for.
            seconds = min(seconds, _LAST_WORDS_SECONDS)
        deadline = time.monotonic() + seconds
        sender.flush(seconds)
        self._signals.leaving.wait(max(0.0, deadline - time.monotonic()))
        return self._leave(code)

    def _leave(self, code: int) -> int:
        """Ends the pod by its own key unless it is being ended already."""
        self._left.set()
        if self._child is not None:
            self._child.kill()
        if not self._signals.terminated.is_set():
            self._pod_key.end_pod(self._signals.terminated)
        if self._sender is not None:
            self._sender.close()
        return code

    def _asked_to_end(self) -> bool:
        return self._signals.leaving.is_set() or self._signals.stop_requested.is_set()

    def _terminated(self) -> None:
        self._signals.terminated.set()
        self._signals.leaving.set()
        self._stop_child()

    def _on_superseded(self) -> None:
        self._signals.superseded.set()
        self._signals.leaving.set()
        if self._child is not None:
            self._child.kill()

    def _on_settled(self, events: list[Event]) -> None:
        stored = [event["manifestSHA256"] for event in events if event["type"] == "checkpoint" and event["verified"]]
        if stored and self._child is not None:
            self._child.acknowledge_checkpoint(stored[-1])

    def _on_expiry(self, reason: str) -> None:
        """The pod's own clock ends the run. In the dead-man's thread: what hangs the agent must not keep the pod (promise 1)."""
        sys.stderr.write(f"{reason}: the pod ends its training and itself\n")
        self._signals.expired = reason
        self._signals.leaving.set()
        self._stop_child()
        if not self._left.wait(2 * self._grace + _LAST_WORDS_SECONDS):
            self._pod_key.end_pod(self._signals.terminated)

    def _stop_child(self) -> None:
        if self._child is not None:
            self._child.stop(self._grace)

    def _command(self, command: Event) -> None:
        """Obeys a command once; the operator repeats it until it is withdrawn."""
        kind, request = command.get("type"), command.get("id")
        if kind == "stop" and not self._signals.stop_requested.is_set():
            self._signals.stop_requested.set()
            self._stop_child()
        elif kind == "checkpoint" and isinstance(request, str) and request not in self._checkpoint_requests:
            self._checkpoint_requests.append(request)
            if self._child is not None:
                self._child.request_checkpoint(request)

        elif kind == "learningRate":
            problem = self._learning_rates.take(command)
            if problem is not None and self._sender is not None:
                alert = {"type": "alert", "name": "LearningRateRefused", "severity": "Warning", "message": problem}
                self._sender.add(alert)
            if self._child is not None and self._learning_rates.newest is not None:
                self._child.want_learning_rate(self._learning_rates.newest)

    def _event(self, event: Event) -> None:
        kind = event["type"]
        if kind == "result":
            self._result = event
        elif kind == "failure":
            self._failure = event["message"]
        elif self._sender is not None:
            self._sender.add(event)

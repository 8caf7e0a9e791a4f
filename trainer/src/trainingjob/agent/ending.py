"""How a run ended, as the final report says it."""

import signal
from dataclasses import dataclass
from typing import Any

from trainingjob.agent.deadman import DEAD_MAN, HARD_END
from trainingjob.exitcodes import REASONS, ExitCode

Event = dict[str, Any]

_EXPIRY = {
    DEAD_MAN: "The operator was silent for too long",
    HARD_END: "The pod's time was up, by its deadline or by what the budget pays for",
}


@dataclass(frozen=True)
class Asked:
    """What was asked of the run before it ended. `expired`: why the pod's own clock ended it."""

    expired: str | None
    terminated: bool
    stopped: bool


def ended(code: int, outcome: str, message: str, tail: list[str], reason: str | None = None) -> Event:
    """A final report."""
    return {
        "type": "final",
        "outcome": outcome,
        "exitCode": code,
        "reason": reason or REASONS.get(code, "TrainerFailed"),
        "message": message[:4000],
        "logTail": tail,
    }


def never_began(asked: Asked) -> Event:
    """The end of a run that was asked to end before its child was started."""
    if asked.expired is not None:
        message = f"{_EXPIRY[asked.expired]} before the training began."
        return ended(ExitCode.STOPPED, "Stopped", message, [], asked.expired)
    if asked.stopped:
        return ended(ExitCode.STOPPED, "Stopped", "The stop came before the training began.", [])
    return ended(ExitCode.PREEMPTED, "Stopped", "The pod was ended before the training began.", [])


def verdict(code: int, tail: list[str], asked: Asked, result: Event, failure: str | None) -> Event:
    """The end of a run whose child ended with this code; `result` and `failure` are what it reported of it."""
    extra: Event = {key: result[key] for key in ("bestStep", "output", "metrics") if key in result}
    if code == 0:
        return {**ended(0, "Succeeded", "The trainer finished.", tail), **extra}
    if asked.expired is not None:
        how = "stopped" if code == ExitCode.STOPPED else f"ended with {_words(code)}"
        message = f"{_EXPIRY[asked.expired]}, so the pod ended the training itself; the trainer {how}, and what it stored is kept."
        return {**ended(ExitCode.STOPPED, "Stopped", message, tail, asked.expired), **extra}
    if asked.terminated:
        return ended(ExitCode.PREEMPTED, "Stopped", "The pod was ended from outside while it trained.", tail)
    if asked.stopped:
        message = (
            "The trainer stopped as asked."
            if code == ExitCode.STOPPED
            else f"The trainer was asked to stop and ended with {_words(code)}."
        )
        return {**ended(ExitCode.STOPPED, "Stopped", message, tail), **extra}
    last = next((line for line in reversed(tail) if line.strip()), "")
    message = failure or f"The trainer ended with {_words(code)}" + (
        f"; its last words: {last}" if last else " and said nothing."
    )
    return ended(code, "Failed", message, tail)


def _words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    if -code == signal.SIGKILL:
        return "signal SIGKILL, as when the pod's memory runs out"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"

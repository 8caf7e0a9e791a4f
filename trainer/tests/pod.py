"""A pod with a real agent in it, and the jobs that it is given."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.operatorserver import POD_ID, POD_KEY, TOKEN, OperatorServer
from tests.puller import PORT, free_address
from tests.waiting import PATIENCE_SECONDS
from trainingjob.storage.s3settings import VARIABLES

UID = "00000000-0000-0000-0000-000000000001"
JOB = {"uid": UID, "namespace": "default", "name": "job", "attempt": 1, "run": 1, "specHash": "abc"}
QUICK = {"heartbeatSeconds": 0.2, "holdSeconds": 60, "stopGraceSeconds": 60}


def custom(program, **members):
    """A job whose trainer is a program in Python."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return {"job": JOB, "trainer": {"custom": {"command": command}}, "agent": QUICK, **members}


# Plays a test with an agent that calls the operator, and with one that the operator calls.
both_ways = pytest.mark.parametrize("transport", ["push", "pull"])


class Pod:
    """One pod: its disk, its environment, and the agent in it."""

    def __init__(self, disk: Path, server: OperatorServer, transport: str = "push", **env: str) -> None:
        self.disk = disk
        self.address = free_address()
        reached = (
            {"TRAININGJOB_URL": f"{server.url}/"}
            if transport == "push"
            else {"TRAININGJOB_PORT": str(PORT), f"TRAININGJOB_LISTEN_{PORT}": "{}:{}".format(*self.address)}
        )
        self.disk.mkdir(exist_ok=True)
        self._env = {
            # A pod has what the operator gives it: no keys of whoever runs the tests.
            **{name: value for name, value in os.environ.items() if name not in VARIABLES},
            "TRAININGJOB_UID": UID,
            "TRAININGJOB_NAMESPACE": "default",
            "TRAININGJOB_NAME": "job",
            "TRAININGJOB_ATTEMPT": "1",
            **reached,
            "TRAININGJOB_TOKEN": TOKEN,
            "RUNPOD_POD_ID": POD_ID,
            "RUNPOD_API_KEY": POD_KEY,
            "RUNPOD_API_URL": server.url,
            **env,
        }
        self.log = disk / "agent.log"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trainingjob", "agent"],
                cwd=self.disk,
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def end(self) -> int:
        """What Runpod does when the pod is deleted."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """The host fails: all processes of the pod are gone at once."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        groups = [int(pid) for thread in threads for pid in thread.read_text().split()]
        self.process.kill()
        self.process.wait()
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    @property
    def refused(self) -> list[list[dict[str, Any]]]:
        return [json.loads(path.read_text()) for path in sorted(self.disk.glob(".trainingjob/*/spool/refused/*.json"))]


REPORTS = """
    from trainingjob import report
    for step in range(1, 6):
        report(step, {"train/loss": 1 / step}, total_steps=5)
    report(5, {"eval/loss": 0.5}, evaluation=True)
    print("done")
"""

# Waits to be asked to stop, and then does.
HANGS = """
    import signal, sys, time
    from trainingjob import report, should_stop
    signal.signal(signal.SIGTERM, lambda *_: None)
    report(1, {"train/loss": 1.0})
    while not should_stop():
        time.sleep(0.02)
    report(2, {"train/loss": 0.5})
    sys.exit(130)
"""

# Cannot be asked to stop; neither can what it started.
DEAF = """
    import os, signal, subprocess, sys, time
    from trainingjob import report
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    report(os.getpid(), {}); report(other.pid, {})
    time.sleep(600)
"""


def is_alive(pid):
    try:
        # A process that ended but that nobody has waited for counts as gone.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def check_reports(server):
    """All of REPORTS arrived once and in order, between the beginning and the end."""
    kinds = [event["type"] for event in server.events if event["type"] not in ("log", "totals")]
    assert kinds == ["started", "point", "point", "point", "point", "point", "evaluation", "final", "stage"]
    assert server.steps == [1, 2, 3, 4, 5]
    (evaluation,) = server.of_type("evaluation")
    assert (evaluation["evalLoss"], evaluation["trainLoss"], evaluation["trainLossStep"]) == (0.5, 0.2, 5)

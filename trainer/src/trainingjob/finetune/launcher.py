"""Starts the processes that train together, by torchrun, and ends as the first of them that failed."""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from trainingjob import reporting
from trainingjob.config import Config
from trainingjob.exitcodes import REASONS, ExitCode, TrainingError
from trainingjob.finetune import memory
from trainingjob.finetune.parameters import FineTuneConfig
from trainingjob.finetune.processes import batches_in
from trainingjob.keeper import CheckpointKeeper
from trainingjob.reporting import STOP_FILE
from trainingjob.resuming import resume_member


def launch(config: Config, finetune: FineTuneConfig, processes: int, version: str) -> int:
    """Trains in so many processes of this machine.

    Where memory does not suffice in one of them, all go on from the newest checkpoint with half the batch, some times, as one
    process alone does.

    Returns:
        The exit code of the rank that failed, or of the first; of one that a signal ended, this process dies as well.
    """
    raw = batches_in(config.raw, finetune)
    with tempfile.TemporaryDirectory(prefix="ranks-") as name:
        folder = Path(name)
        _pass_stops_on(folder)
        for tries_left in range(memory.MOST_HALVINGS, -1, -1):
            failure = _run(raw, folder, processes)
            if failure is None:
                return ExitCode.SUCCESS
            smaller = memory.with_half_the_batch(finetune)
            if failure.exitcode != ExitCode.OUT_OF_MEMORY or smaller is None or tries_left == 0:
                break
            finetune = smaller
            memory.tell_halved(finetune)
            raw = batches_in(raw, finetune) | {"resume": resume_member(_keeper(config, version).stored())}
    return _end(failure, processes)


def _keeper(config: Config, version: str) -> CheckpointKeeper:
    if config.checkpoints is None or config.storage.checkpoints is None:
        raise AssertionError("a rank that trained had somewhere to store checkpoints")
    return CheckpointKeeper(config.storage.checkpoints, config.checkpoints, version)


def _pass_stops_on(folder: Path) -> None:
    """Ranks hear of a stop by the agent's file; without an agent, by one of this process."""
    stop = Path(os.environ.setdefault(STOP_FILE, str(folder / "stop")))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.touch())


def _run(raw: dict[str, Any], folder: Path, processes: int) -> ProcessFailure | None:
    """Runs all ranks to their end; None: without a failure."""
    file = folder / "config.json"
    # It holds the job's secrets.
    file.touch(mode=0o600)
    file.write_text(json.dumps(raw))
    # Threads of all ranks share the processors.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // processes)))
    # They are all on this machine, whatever its name resolves to.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    launched = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="trainingjob",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        # A stop is not the end at once: its step is saved first.
        signals_to_handle="SIGQUIT",
    )
    try:
        elastic_launch(launched, sys.executable)("-m", "trainingjob", "run", "--config", str(file))
    except ChildFailedError as error:
        return _cause(error.failures)
    return None


def _cause(failures: dict[int, ProcessFailure]) -> ProcessFailure:
    """Ranks that lose another fail as well: what has a code of its own is the cause, or what a signal ended, or what came first."""

    def order(rank: int) -> tuple[int, int, int]:
        code = failures[rank].exitcode
        kind = 0 if code in REASONS else 1 if code < 0 else 2
        return kind, failures[rank].timestamp, rank

    return failures[min(failures, key=order)]


def _end(failure: ProcessFailure, processes: int) -> int:
    code, said = int(failure.exitcode), str(failure.error_file_data["message"])
    if code == ExitCode.STOPPED:
        return code
    if code in REASONS:
        raise TrainingError(ExitCode(code), said)
    rank = f"rank {failure.local_rank} of {processes}"
    if code > 0:
        reporting.emit({"type": "failure", "message": f"{rank} failed: {said}"[:4000]})
        return code
    hint = ", as when the pod's memory runs out" if -code == signal.SIGKILL else ""
    reporting.emit({"type": "failure", "message": f"{rank} was ended by signal {failure.signal_name()}{hint}"})
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    # Whoever started this process sees what it would have seen of one process.
    os.kill(os.getpid(), -code)
    return 1

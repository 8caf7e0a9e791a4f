"""What must hold before money is spent on training: hardware, disk, storage."""

import os
import shutil
import subprocess
from pathlib import Path

from trainingjob.agent.identity import Identity
from trainingjob.config import Config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.storage.address import check_writable

_LEAST_FREE_BYTES = 256 * 1024 * 1024


def check(identity: Identity, config: Config, workdir: Path) -> None:
    """Raises TrainingError with exit code 7 and what to do about it."""
    _gpus(identity.gpu_count)
    free = shutil.disk_usage(workdir).free
    if free < _LEAST_FREE_BYTES:
        raise _failed(
            f"only {free // 1024 // 1024} MiB are free on the container's disk; raise spec.compute.containerDiskGB"
        )
    for uri in (config.storage.checkpoints, config.storage.output):
        if uri is not None:
            check_writable(uri)


def _gpus(wanted: int) -> None:
    if wanted == 0:
        return
    tool = shutil.which("nvidia-smi", path=os.environ.get("PATH"))
    if tool is None:
        raise _failed(
            f"{wanted} GPUs were rented, but the image has no nvidia-smi to see them; the host gave none, or the image hides them"
        )
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(f"{wanted} GPUs were rented, but nvidia-smi does not answer: {error}") from error
    found = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    if found != wanted:
        raise _failed(
            f"{wanted} GPUs were rented and {found} are here: {(listed.stderr or listed.stdout).strip()[:200]}"
        )


def _failed(message: str) -> TrainingError:
    return TrainingError(ExitCode.PREFLIGHT, message)

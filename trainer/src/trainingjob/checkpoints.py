"""Checkpoints of any trainer: stored with a manifest, proved by reading back, and found again by the next attempt.

from trainingjob import checkpoints
step = checkpoints.resume(folder)
checkpoints.save(folder, step)
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

from trainingjob import __version__, reporting
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.resuming import RESUME, parse_resume, take_first_good
from trainingjob.storage.manifest import store_verified

CHECKPOINTS_URI = "TRAININGJOB_CHECKPOINTS_URI"


def save(folder: Path | str, step: int) -> str:
    """Stores the files that lie in a folder as the checkpoint of a step, reads them back, and reports it.

    Returns:
        The checkpoint's URI.

    Raises:
        TrainingError: exit code 6 when storage fails; exit code 2 when the job has no place for checkpoints.
        ValueError: the folder holds folders.
    """
    only_files(Path(folder))
    base = os.environ.get(CHECKPOINTS_URI, "").rstrip("/")
    if base == "":
        raise TrainingError(
            ExitCode.CONFIGURATION, f"{CHECKPOINTS_URI} is not set; give the job spec.checkpoints with a uri"
        )
    uri = f"{base}/checkpoint-{step}"
    sha = store_verified(Path(folder), uri, step, __version__)
    reporting.emit({"type": "checkpoint", "step": step, "uri": uri, "manifestSHA256": sha, "verified": True})
    return uri


def resume(folder: Path | str) -> int:
    """Fills a folder with the newest checkpoint of this run that is whole, and says its step; 0: there is none, begin anew.

    What lies in the folder when there is none stays as it is.

    Raises:
        TrainingError: exit code 6 when storage does not answer.
    """
    text = os.environ.get(RESUME, "")
    checkpoints = parse_resume(json.loads(text) if text else None)
    if checkpoints is None:
        return 0
    folder = Path(folder)
    with tempfile.TemporaryDirectory(prefix="resume-") as scratch:
        taken = take_first_good(checkpoints, Path(scratch) / "files")
        if taken is None:
            return 0
        folder.mkdir(parents=True, exist_ok=True)
        for file in (Path(scratch) / "files").iterdir():
            shutil.move(file, folder / file.name)
    return taken.step


def only_files(folder: Path) -> None:
    """Raises ValueError for a folder that holds folders."""
    inner = next((path.name for path in folder.iterdir() if not path.is_file()), None)
    if inner is not None:
        raise ValueError(
            f"{folder} holds {inner}, which is no file; a checkpoint is a folder of files, so pack it into one"
        )

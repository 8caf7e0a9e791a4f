"""Going on where an earlier attempt was: model, optimizer, schedule, position in the data, chance and scores."""

import json
from pathlib import Path

from trainingjob.finetune.source import Base
from trainingjob.progress import Progress, read_progress
from trainingjob.resuming import Resumable, take_first_good
from trainingjob.scoring.best import Scoring
from trainingjob.storage.address import store_at
from trainingjob.storage.manifest import Damaged

_STATE = "trainer_state.json"
BASE = "base.json"
_NEEDED = (_STATE, BASE, "scheduler.pt")
# The second is one that several processes had in parts.
_OPTIMIZERS = ("optimizer.pt", "optimizer.bin")


def write_base(folder: Path, base: Base, samples: int) -> None:
    """Notes in a checkpoint which model its run began with, for an adapter is nothing on another, and the rows of a step."""
    (folder / BASE).write_text(json.dumps({"commit": base.commit, "samplesPerStep": samples}) + "\n")


def samples_per_step(checkpoints: tuple[Resumable, ...]) -> int | None:
    """Rows of a step of the run that these are of, as far as one of them says."""
    for checkpoint in checkpoints:
        try:
            return int(json.loads(store_at(checkpoint.uri).read(BASE))["samplesPerStep"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def resume(
    checkpoints: tuple[Resumable, ...], folder: Path, scoring: Scoring, fresh: Progress, base: Base, total: int
) -> tuple[Path | None, Progress, int]:
    """Fills a folder with the first checkpoint that is good.

    Args:
        checkpoints: Newest first.
        folder: Where its files go.
        scoring: The run's.
        fresh: The progress of a run that begins; its data are those that the checkpoint must be of.
        base: The model that the run begins with, which must be that of the checkpoint.
        total: Steps of the run.

    Returns:
        The folder, the progress of then and its step; None, the fresh progress and 0 when there is none to go on from.
    """
    found = fresh

    def take(checkpoint: Resumable) -> None:
        nonlocal found
        missing = next((name for name in _NEEDED if not (folder / name).is_file()), None)
        if missing is not None:
            raise Damaged(f"it has no {missing}")
        if not any((folder / name).is_file() for name in _OPTIMIZERS):
            raise Damaged(f"it has no {_OPTIMIZERS[0]}")
        try:
            step = int(json.loads((folder / _STATE).read_text())["global_step"])
            commit = json.loads((folder / BASE).read_text())["commit"]
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(f"{_STATE} or {BASE} cannot be used: {error!r}") from error
        if step != checkpoint.step or step > total:
            raise Damaged(f"{_STATE} is of step {step}; the run has {total}")
        if commit != base.commit:
            raise Damaged(f"the model has changed since, from commit {commit} to {base.commit}")
        found = read_progress(folder, scoring, fresh.dataset_sha256)

    taken = take_first_good(checkpoints, folder, take)
    return (None, fresh, 0) if taken is None else (folder, found, taken.step)

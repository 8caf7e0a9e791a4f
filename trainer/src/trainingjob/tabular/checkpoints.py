"""Checkpoints of one run: saved at evaluations, verified, rotated; the best is never rotated away."""

import json
import tempfile
from pathlib import Path
from typing import Protocol

from trainingjob import reporting
from trainingjob.config import Checkpoints
from trainingjob.scoring.best import BestTracker
from trainingjob.storage.folder import remove_folder
from trainingjob.storage.manifest import store_verified

MODEL_FILE = "model.json"


class Model(Protocol):
    """What can be saved to a file."""

    def save_model(self, fname: str) -> None: ...


class CheckpointKeeper:
    """Keeps the newest `keep_last` checkpoints and the best `keep_best` by score."""

    def __init__(self, folder_uri: str, rules: Checkpoints, version: str) -> None:
        self._folder_uri = folder_uri
        self._rules = rules
        self._version = version
        self._stored: dict[int, float] = {}
        self._shas: dict[int, str] = {}

    def uri(self, step: int) -> str:
        """Where the checkpoint of a step lies."""
        return f"{self._folder_uri}/checkpoint-{step}"

    def has(self, step: int) -> bool:
        """Whether the checkpoint of this step is stored."""
        return step in self._stored

    def due(self, step: int, *, is_best: bool, is_last: bool) -> bool:
        """A new best and the last step are always saved; others at the interval that was asked for."""
        every = self._rules.every_steps
        return is_best or is_last or every is None or step % every == 0

    def save(self, model: Model, step: int, score: float, tracker: BestTracker) -> None:
        """Stores a checkpoint, reads it back, reports it, and removes those that need not stay.

        Raises:
            TrainingError: exit code 6 when storage fails.
        """
        with tempfile.TemporaryDirectory(prefix="checkpoint-") as name:
            folder = Path(name)
            model.save_model(str(folder / MODEL_FILE))
            state = {
                "bestStep": tracker.best_step,
                "bestScore": tracker.best_score,
                "previousEvalLoss": tracker.previous_eval_loss,
            }
            (folder / "scorer.json").write_text(json.dumps(state) + "\n")
            sha = store_verified(folder, self.uri(step), step, self._version)
        self._stored[step], self._shas[step] = score, sha
        self._report(step, removed=False)
        self._rotate(tracker.best_step)

    def _rotate(self, best_step: int | None) -> None:
        newest = sorted(self._stored)[-self._rules.keep_last :]
        best = sorted(self._stored, key=lambda step: (self._stored[step], step))[: self._rules.keep_best]
        for step in sorted(set(self._stored) - {*newest, *best, best_step}):
            # Told before it is done: a checkpoint that is named must exist, one that exists need not be named.
            self._report(step, removed=True)
            remove_folder(self.uri(step))
            del self._stored[step], self._shas[step]

    def _report(self, step: int, *, removed: bool) -> None:
        event = {
            "type": "checkpoint",
            "step": step,
            "uri": self.uri(step),
            "manifestSHA256": self._shas[step],
            "verified": not removed,
        }
        reporting.emit(event | ({"removed": True} if removed else {}))

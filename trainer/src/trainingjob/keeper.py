"""Checkpoints of one run: saved at evaluations and on request, verified, rotated; the best is never rotated away."""

import math
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from trainingjob import reporting
from trainingjob.config import Checkpoints
from trainingjob.exitcodes import ExitCode, TrainingError, naming
from trainingjob.progress import Progress
from trainingjob.resuming import MOST_CHECKPOINTS, Resumable
from trainingjob.storage.address import store_at
from trainingjob.storage.manifest import MANIFEST, store_verified
from trainingjob.told import Told

_FIELD = "spec.checkpoints.uri"
_SETTLE_SECONDS = 5.0
_POLL_SECONDS = 0.05
_MINUTE_SECONDS = 60.0
_NAME = re.compile(r"checkpoint-([0-9]{1,15})")


class CheckpointKeeper:
    """Keeps the newest `keep_last` checkpoints and the best `keep_best` by score, and for a while what the operator knows of beside
    them. The folder is the run's: what earlier attempts left in it is rotated alike."""

    def __init__(self, folder_uri: str, rules: Checkpoints, version: str) -> None:
        self._folder_uri = folder_uri.rstrip("/")
        self._rules = rules
        self._version = version
        self._store = store_at(self._folder_uri)
        # Steps with the SHA-256 of their manifests; None where an earlier attempt got no further than a part.
        with naming(_FIELD):
            self._stored = self._found()
        self._told = Told({step for step, sha in self._stored.items() if sha is not None}, self._report)
        # What of the stored is needed and may wait to be told. Uploads come here from a thread of their own.
        self._needed: dict[int, str] = {}
        self._lock = threading.RLock()
        # By the monotonic clock; infinity while one is stored.
        self._since: float | None = None

    def uri(self, step: int) -> str:
        """Where the checkpoint of a step lies."""
        return f"{self._folder_uri}/checkpoint-{step}"

    def steps(self) -> list[int]:
        """Steps whose checkpoints are stored, in order."""
        return sorted(self._stored)

    def stored(self) -> tuple[Resumable, ...]:
        """What this very process could go on from, newest first."""
        return tuple(
            Resumable(self.uri(step), step, sha)
            for step, sha in sorted(self._stored.items(), reverse=True)
            if sha is not None
        )[:MOST_CHECKPOINTS]

    def due(self, step: int, *, is_best: bool, is_last: bool) -> bool:
        """A new best and the last step are always saved; others at the interval that was asked for."""
        every = self._rules.every_steps
        return is_best or is_last or every is None or step % every == 0

    def overdue(self) -> bool:
        """Whether so many minutes as the job allows have passed since a checkpoint was stored, or since this was asked first; to be asked
        after each step. While one is on its way, another would have to wait for it, and the training with it."""
        if self._rules.every_minutes is None:
            return False
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        return now >= self._since + self._rules.every_minutes * _MINUTE_SECONDS

    def save(self, write: Callable[[Path], None], step: int, progress: Progress) -> None:
        """Stores a checkpoint, reads it back, reports it, and removes those that need not stay.

        Args:
            write: Writes the model, as files without folders, into the folder that it is given.

        Raises:
            TrainingError: exit code 6 when storage fails.
        """
        with tempfile.TemporaryDirectory(prefix="checkpoint-") as name:
            folder = Path(name)
            write(folder)
            progress.write(folder)
            self.store(folder, step, progress)

    def store(self, folder: Path, step: int, progress: Progress) -> None:
        """Stores what lies in a folder, progress included, as `save` does."""
        self._since = math.inf
        with naming(_FIELD):
            sha = store_verified(folder, self.uri(step), step, self._version)
        with self._lock:
            self._stored[step] = sha
            self._told.forget(step)
            kept = self._kept(step, progress)
            self._needed = {kept_step: known for kept_step in kept if (known := self._stored[kept_step]) is not None}
            self.follow()
            self._remove(step, kept)
        self._since = time.monotonic()

    def follow(self) -> None:
        """Reports what waits for the operator's answer to the report before. To be called now and then; returns at once."""
        if self._needed and self._lock.acquire(blocking=False):
            try:
                if self._told.is_answered():
                    self.tell_rest()
            finally:
                self._lock.release()

    def tell_rest(self) -> None:
        """Reports all that is stored and needed, whatever was answered."""
        with self._lock:
            needed, self._needed = self._needed, {}
            self._told.tell(needed)

    def tell(self, step: int) -> None:
        """Reports a checkpoint that was stored and verified before."""
        sha, again = self._stored[step], step in self._told
        self.tell_rest()
        if sha is not None and again:
            self._report(step, sha)

    def settle(self, progress: Progress) -> None:
        """Removes, at the end of a run, what stayed for the operator's sake. Waits a little for its answer; what it does not answer
        for stays."""
        if not self._stored:
            return
        self.tell_rest()
        deadline = time.monotonic() + _SETTLE_SECONDS
        while not self._told.is_answered() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        newest = max(self._stored)
        self._remove(newest, self._kept(newest, progress))

    def _kept(self, now: int, progress: Progress) -> set[int]:
        """Steps whose checkpoints stay by the rules."""
        passed = [step for step in sorted(self._stored) if step <= now]
        newest = passed[-self._rules.keep_last :]
        # One that was saved between evaluations has no score: it is kept for being new, never for being good.
        scored = [step for step in passed if step in progress.scores]
        best = sorted(scored, key=lambda step: (progress.scores[step], step))[: self._rules.keep_best]
        return {step for step in passed if step in newest or step in best or step == progress.tracker.best_step}

    def _remove(self, now: int, kept: set[int]) -> None:
        # Later ones are of an attempt whose end is given up: this one will come by there again.
        counted_on = {step for step in self._told.counted_on() if step <= now}
        for step in sorted(set(self._stored) - kept - counted_on):
            sha = self._stored.pop(step)
            # Told before it is done: a checkpoint that is named must exist, one that exists need not be named.
            if sha is not None and step in self._told:
                self._report(step, sha, removed=True)
                self._told.forget(step)
            try:
                self._store.remove(f"checkpoint-{step}")
            except OSError as error:
                sys.stderr.write(f"{self.uri(step)} is not needed any more and could not be removed: {error}\n")

    def _found(self) -> dict[int, str | None]:
        """Checkpoints that earlier attempts of this run left."""
        try:
            names = [match for name in self._store.folders() if (match := _NAME.fullmatch(name))]
            return {int(match[1]): self._manifest(match[0]) for match in names}
        except OSError as error:
            raise TrainingError(ExitCode.ARTIFACTS, f"{self._folder_uri} cannot be listed: {error}") from error

    def _manifest(self, name: str) -> str | None:
        try:
            return self._store.digest(f"{name}/{MANIFEST}").sha256
        except FileNotFoundError:
            return None

    def _report(self, step: int, sha256: str, *, removed: bool = False) -> None:
        event = {
            "type": "checkpoint",
            "step": step,
            "uri": self.uri(step),
            "manifestSHA256": sha256,
            "verified": not removed,
        }
        reporting.emit(event | ({"removed": True} if removed else {}))

"""Checkpoints on their way to storage, one after the other, while training goes on."""

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

from trainingjob.keeper import CheckpointKeeper
from trainingjob.progress import Progress


class Uploads:
    """One upload at a time: a second save waits for the first, so that the disk never holds more than two checkpoints."""

    def __init__(self, keeper: CheckpointKeeper) -> None:
        self._keeper = keeper
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="uploads")
        self._pending: Future[None] | None = None

    def hand_over(self, folder: Path, step: int, progress: Progress) -> None:
        """Takes a folder with a checkpoint, which is removed once it is stored. Raises what the upload before failed with."""
        self.wait()
        progress.write(folder)
        # Evaluations go on while it is uploaded; what is rotated is decided by what was known when it was saved.
        self._pending = self._thread.submit(self._store, folder, step, deepcopy(progress))

    def check(self) -> None:
        """Raises what an upload that is over failed with; one that goes on is not waited for. Reports what waits for that."""
        self._keeper.follow()
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Waits for the upload that is going on, and raises what it failed with: exit code 6."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Waits without complaint, as the run may fail already, and tells of all that is stored."""
        self._thread.shutdown(wait=True)
        self._keeper.tell_rest()

    def _store(self, folder: Path, step: int, progress: Progress) -> None:
        self._keeper.store(folder, step, progress)
        shutil.rmtree(folder)

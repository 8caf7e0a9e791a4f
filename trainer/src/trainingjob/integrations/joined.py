"""A run whose loop is another library's: what the job asks of it, and what it tells the job. The callbacks are made of it."""

import json
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trainingjob import __version__, reporting
from trainingjob.checkpoints import CHECKPOINTS_URI, only_files
from trainingjob.config import Checkpoints, parse_config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune.uploads import Uploads
from trainingjob.keeper import CheckpointKeeper
from trainingjob.progress import SCORER_FILE, Progress, read_progress
from trainingjob.resuming import RESUME, Resumable, parse_resume, take_first_good
from trainingjob.scoring.best import BestTracker, Evaluation
from trainingjob.stages import enter
from trainingjob.storage.manifest import MANIFEST, Damaged

# Which data it trains on, only its own code knows.
_UNKNOWN_DATA = ""


@dataclass(frozen=True)
class Asked:
    """What the job wants after a step."""

    stop: bool
    checkpoint: bool


class JoinedRun:
    """One run. What goes wrong with storage ends the process with the exit code for it, as it ends our own trainers.

    `evaluation_every_steps` is the job's `spec.evaluation.everySteps`, None where it says nothing; `stores` tells whether the job
    has a place for checkpoints.
    """

    def __init__(self) -> None:
        rules = json.loads(os.environ.get(reporting.RULES) or "{}")
        # The rules are members of a configuration; what is started is known to who started it.
        config = parse_config({"trainer": {"custom": {"command": ["started"]}}, **rules})
        self.evaluation_every_steps = config.evaluation_every_steps
        self._checkpoints = config.checkpoints or Checkpoints(every_steps=None, keep_best=1, keep_last=2)
        self._uri = os.environ.get(CHECKPOINTS_URI, "")
        self.stores = self._uri != ""
        self._progress = Progress(BestTracker(config.scoring), _UNKNOWN_DATA)
        self._keeper: CheckpointKeeper | None = None
        self._uploads: Uploads | None = None
        self._total: int | None = None
        self._stopping = False

    def resume(self, folder: Path, needed: Sequence[str]) -> int:
        """Fills a folder with the newest checkpoint of the run that is whole and has the files that are needed.

        Returns:
            Its step; 0 when there is none to go on from.
        """
        resumable = parse_resume(json.loads(os.environ.get(RESUME) or "null"))
        if resumable is None:
            return 0

        def fits(_: Resumable) -> None:
            missing = next((name for name in needed if not (folder / name).is_file()), None)
            if missing is not None:
                raise Damaged(f"it has no {missing}")
            self._progress = read_progress(folder, self._progress.tracker.scoring, _UNKNOWN_DATA)

        with _told():
            taken = take_first_good(resumable, folder, fits)
        return 0 if taken is None else taken.step

    def begin(self, total_steps: int | None, evaluation_every_steps: int | None) -> None:
        """Tells how long the run will be, before its first step, and takes SIGTERM as a request to stop."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: reporting.request_stop())
        with _told():
            if self.stores:
                self._keeper = CheckpointKeeper(self._uri, self._checkpoints, __version__)
                self._uploads = Uploads(self._keeper)
        self._total = total_steps
        if total_steps is not None:
            members = {
                "evaluationEverySteps": evaluation_every_steps,
                "requestedEvaluationEverySteps": self.evaluation_every_steps,
                "checkpointEverySteps": (self._checkpoints.every_steps or evaluation_every_steps)
                if self.stores
                else None,
            }
            known = {name: value for name, value in members.items() if value is not None}
            reporting.emit({"type": "totals", "totalSteps": total_steps, **known})
        enter("Training")

    def asked(self) -> Asked:
        """What is wanted now; to be asked once after each step. Checkpoints are wanted only where there is a place for them."""
        with _told():
            if self._uploads is not None:
                self._uploads.check()
        self._stopping = self._stopping or reporting.should_stop()
        due = reporting.checkpoint_requested() or (self._keeper is not None and self._keeper.overdue())
        return Asked(self._stopping, (self._stopping or due) and self.stores)

    def evaluated(self, step: int, metrics: Mapping[str, float], epoch: float | None) -> bool:
        """Reports an evaluation, and says whether a checkpoint of its step is due: at a new best by the job's scoring, at the
        interval of its checkpoints, and at the last step."""
        reporting.report(step, metrics, evaluation=True, epoch=epoch)
        newest = reporting.newest_train_loss(step)
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        train_loss = None if newest is None else newest[1]
        scored = self._progress.tracker.add(Evaluation(step, finite.get("eval/loss"), train_loss, finite))
        self._progress.evaluations[step] = {name: value for name, value in finite.items() if value is not None}
        if scored.score is not None:
            self._progress.scores[step] = scored.score.score
        enter("Training")
        return self._keeper is not None and self._keeper.due(
            step, is_best=scored.is_best, is_last=self._total is not None and step >= self._total
        )

    def saved(self, folder: Path, step: int) -> None:
        """Takes the files of a checkpoint that the library wrote, and stores them while training goes on. The library may remove
        its own afterwards.

        Raises:
            ValueError: the folder holds folders.
        """
        if self._uploads is None:
            return
        enter("Checkpointing")
        only_files(folder)
        # Beside it, where a second name costs no space.
        copy = Path(tempfile.mkdtemp(prefix=".storing-", dir=folder.parent))
        for file in folder.iterdir():
            if file.name in (SCORER_FILE, MANIFEST):
                continue
            try:
                os.link(file, copy / file.name)
            except OSError:
                shutil.copyfile(file, copy / file.name)
        with _told():
            self._uploads.hand_over(copy, step, self._progress)
        enter("Training")

    def end(self) -> None:
        """Waits until everything is stored. Ends the process with 130 when it was asked to stop: 0 would say that the training is
        complete."""
        with _told():
            if self._uploads is not None:
                enter("Checkpointing")
                self._uploads.wait()
                self._uploads.close()
        if self._stopping:
            raise SystemExit(int(ExitCode.STOPPED))
        if self._keeper is not None:
            self._keeper.settle(self._progress)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except TrainingError as error:
        reporting.emit({"type": "failure", "message": str(error)})
        sys.stderr.write(f"{error}\n")
        raise SystemExit(int(error.code)) from error

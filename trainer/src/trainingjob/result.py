"""Which checkpoint becomes the result."""

from pathlib import Path

from trainingjob import reporting
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.keeper import CheckpointKeeper
from trainingjob.progress import Progress
from trainingjob.storage.manifest import Damaged, fetch_verified


def fetch_best(progress: Progress, keeper: CheckpointKeeper, folder: Path) -> int:
    """Copies the best checkpoint that is whole to a folder, and says its step: what is named best must exist (promise 3).

    Raises:
        TrainingError: exit code 5 when no step could be scored; exit code 6 when no scored checkpoint is whole.
    """
    best, scores = progress.tracker.best_step, progress.scores
    if best is None:
        raise TrainingError(
            ExitCode.DIVERGED, "no evaluation gave a finite score; lower parameters.learningRate or check the data"
        )
    problems: list[str] = []
    for step in sorted({best, *keeper.steps()} & set(scores), key=lambda step: (scores[step], step)):
        try:
            fetch_verified(keeper.uri(step), folder)
        except Damaged as error:
            problems.append(str(error))
            message = f"step {step} cannot be the result, the next best is: {error}"
            alert = {"type": "alert", "name": "CheckpointLost", "severity": "Warning", "message": message[:4000]}
            reporting.emit(alert)
        else:
            return step
    raise TrainingError(ExitCode.ARTIFACTS, f"no checkpoint can be the result: {'; '.join(problems)}")

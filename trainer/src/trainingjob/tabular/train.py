"""A tabular job: trained step by step, evaluated every N steps, with the best step's model as the result."""

import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trainingjob import earlystopping, reporting
from trainingjob.config import Config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import invalid
from trainingjob.keeper import CheckpointKeeper
from trainingjob.progress import Progress, read_progress
from trainingjob.result import fetch_best
from trainingjob.resuming import Resumable, take_first_good
from trainingjob.scoring.best import BestTracker, Evaluation
from trainingjob.scoring.metric import require_metric
from trainingjob.scoring.words import initialised, told
from trainingjob.storage.manifest import Damaged
from trainingjob.tabular.devices import Seen, choose, gpus_here, held
from trainingjob.tabular.exportable import check_exportable
from trainingjob.tabular.families.family import FamilyModule, Trainable, family_module
from trainingjob.tabular.folds import check_folds, cross_validated
from trainingjob.tabular.hyperparameters import default_values
from trainingjob.tabular.measure import loss_on, measure
from trainingjob.tabular.output import Output, store_output
from trainingjob.tabular.pace import pace_of
from trainingjob.tabular.parameters import TabularConfig
from trainingjob.tabular.prepare import Prepared, prepare
from trainingjob.tabular.tasks.task import Task, task_named
from trainingjob.tabular.told import answer_learning_rate, stage

if TYPE_CHECKING:
    from trainingjob.tabular.search.run import SearchRun


def train(config: Config, version: str) -> ExitCode:
    """Runs a tabular job and stores its result.

    Returns:
        SUCCESS, or STOPPED when the run was asked to stop; then the best model so far was stored all the same.

    Raises:
        TrainingError: with the exit code of what went wrong.
    """
    tabular = config.trainer
    if not isinstance(tabular, TabularConfig) or config.checkpoints is None or config.storage.checkpoints is None:
        raise invalid("checkpoints: a tabular job needs checkpoints with a uri, and storage.checkpoints")
    if config.storage.output is None:
        raise invalid("output: a tabular job needs output with a uri, and storage.output")
    task = task_named(tabular.task)
    _check_metrics(config, task)
    stage("Loading", tabular.source)
    family = family_module(tabular.family.name)
    prepared = _on_device(prepare(tabular, task), tabular, family)
    check_folds(tabular, prepared)
    check_exportable(tabular, prepared)
    split = prepared.split
    samples = len(split.train) + len(split.held_out) + (len(split.test) if split.has_test else 0)
    sizes = {"samples": samples, "trainSamples": len(split.train), "evalSamples": len(split.held_out)}
    table = prepared.table
    found = {"rows": table.rows, "columns": table.columns, "sha256": table.sha256}
    revision = {} if table.revision is None else {"revision": table.revision}
    reporting.emit({"type": "dataset", **sizes, **found, **revision})
    keeper = CheckpointKeeper(config.storage.checkpoints, config.checkpoints, version)
    run = _begun(config, tabular, task, family, prepared, keeper)
    if config.resume is not None:
        run.resume(config.resume)
    try:
        stopped = run.train()
    finally:
        keeper.tell_rest()
    if not run.has_result():
        return ExitCode.STOPPED
    run.store_output(config.storage.output, version)
    if stopped:
        return ExitCode.STOPPED
    run.settle()
    return ExitCode.SUCCESS


def _begun(
    config: Config,
    tabular: TabularConfig,
    task: Task,
    family: FamilyModule,
    prepared: Prepared,
    keeper: CheckpointKeeper,
) -> "_Run | SearchRun":
    if tabular.search is None:
        return _Run(config, tabular, task, family, prepared, keeper)
    # Imported here: only a search needs the library that draws trials.
    from trainingjob.tabular.search.run import SearchRun

    return SearchRun(config, tabular, task, family, prepared, keeper, tabular.search)


class _Run:
    def __init__(
        self,
        config: Config,
        tabular: TabularConfig,
        task: Task,
        family: FamilyModule,
        prepared: Prepared,
        keeper: CheckpointKeeper,
    ) -> None:
        self._tabular, self._scoring, self._task, self._family = tabular, config.scoring, task, family
        self._prepared, self._keeper, self._rule = prepared, keeper, config.early_stopping
        steps = tabular.family.steps
        self._steps: int = 1 if steps is None else tabular.parameters[steps]
        self._progress = Progress(BestTracker(config.scoring), prepared.table.sha256)
        self._device = prepared.problem.device
        with held(self._device):
            self._model: Trainable = family.begin(prepared.problem, None)
        self._saved = 0
        self._pace = pace_of(self._steps, config.evaluation_every_steps, segmented=family.SEGMENTED)
        wanted = self._pace.wanted
        notes = [f"train loss is reported every {self._pace.log_every} steps", *self._device.notes, *prepared.notes]
        if wanted > self._pace.every:
            notes.append(f"evaluation every {wanted} steps was clamped to the run's {self._steps}")
        reporting.emit(
            {
                "type": "totals",
                "totalSteps": self._steps,
                "evaluationEverySteps": self._pace.every,
                "requestedEvaluationEverySteps": wanted,
                "checkpointEverySteps": (config.checkpoints and config.checkpoints.every_steps) or self._pace.every,
                "notes": [note[:1000] for note in notes[:16]],
            }
        )

    def resume(self, checkpoints: tuple[Resumable, ...]) -> None:
        """Goes on from the first checkpoint that is good, with its model and all that the run knew then."""
        file = self._tabular.family.model_file
        with tempfile.TemporaryDirectory(prefix="resume-") as name:
            folder = Path(name) / "checkpoint"

            def take(checkpoint: Resumable) -> None:
                progress = read_progress(folder, self._scoring, self._prepared.table.sha256)
                try:
                    with held(self._device):
                        model = self._family.begin(self._prepared.problem, folder / file, checkpoint.step)
                except ValueError as error:
                    raise Damaged(f"{file} cannot be used: {str(error).splitlines()[0]}") from error
                if model.done != checkpoint.step or model.done > self._steps:
                    raise Damaged(f"{file} has {model.done} steps; the run has {self._steps}")
                self._progress, self._model = progress, model

            take_first_good(checkpoints, folder, take)
        self._saved = self._model.done

    def train(self) -> bool:
        """Trains all steps, or until a stop is asked for; the last step is evaluated in either case.

        Returns:
            Whether a stop was asked for before the end.
        """
        print(initialised(self._progress.tracker), flush=True)  # noqa: T201
        stage("Training")
        self._progress.trained_on(self._device.name)
        step, answered = self._model.done, None
        while step < self._steps and not self._stops_early():
            begun = time.monotonic()
            step = self._pace.next(step)
            with held(self._device):
                self._model.advance(step)
            self._progress.training_seconds += time.monotonic() - begun
            stop = reporting.should_stop()
            last = stop or step == self._steps
            evaluates = last or step % self._pace.every == 0
            if evaluates or step % self._pace.log_every == 0:
                reporting.report(step, {"train/loss": self._train_loss()})
            if evaluates:
                self._evaluate(step, is_last=last)
            answered = answer_learning_rate(answered)
            self._keeper.follow()
            requested = reporting.checkpoint_requested()
            if requested and self._saved == step:
                # One of this very step is an answer, too; whoever asked waits for it to be told.
                self._keeper.tell(step)
            elif self._saved != step and (requested or self._keeper.overdue()):
                self._save(step)
                stage("Training")
            if stop:
                return step < self._steps
        return False

    def settle(self) -> None:
        """Nothing more will go on from a checkpoint."""
        self._keeper.settle(self._progress)

    def has_result(self) -> bool:
        """Whether a result can be asked for: a run is never stopped before its first evaluation."""
        return True

    def store_output(self, uri: str, version: str) -> None:
        """Stores the best step's model with all that belongs to it, and reports where."""
        with tempfile.TemporaryDirectory(prefix="best-") as name:
            best = fetch_best(self._progress, self._keeper, Path(name))
            path = Path(name) / self._tabular.family.model_file
            model = self._family.load(path, self._task.name, len(self._prepared.classes))
            # Its copy of the rows would lie beside those of the folds.
            del self._model
            folds = cross_validated(self._tabular, self._task, self._family, self._prepared, best, self._pace.wanted)
            stage("Uploading", uri)
            evaluations = self._progress.evaluations
            output = Output(
                self._tabular, self._task, self._prepared, self._progress, best, model, path, best, evaluations, folds
            )
            sha = store_output(output, uri, version)
            metrics = measure(self._task, model, self._prepared.held_out)
        result = {"type": "result", "bestStep": best, "output": {"uri": uri, "manifestSHA256": sha}, "metrics": metrics}
        reporting.emit(result)

    def _stops_early(self) -> bool:
        if self._rule is None or not earlystopping.exhausted(self._rule, self._progress):
            return False
        earlystopping.tell(self._rule)
        return True

    def _save(self, step: int) -> None:
        stage("Checkpointing")
        file = self._tabular.family.model_file
        self._keeper.save(lambda folder: self._model.save(folder / file), step, self._progress)
        self._saved = step

    def _evaluate(self, step: int, *, is_last: bool) -> None:
        stage("Evaluating")
        metrics = measure(self._task, self._model, self._prepared.held_out)
        train_loss = self._train_loss()
        if not math.isfinite(metrics["eval/loss"]) or not math.isfinite(train_loss):
            raise TrainingError(
                ExitCode.DIVERGED,
                f"the loss at step {step} is not finite; lower parameters.learningRate or check the data",
            )
        self._progress.evaluations[step] = {**metrics, "train/loss": train_loss}
        reporting.report(step, metrics, evaluation=True)
        evaluation = Evaluation(step, metrics["eval/loss"], train_loss, {**metrics})
        scored = self._progress.tracker.add(evaluation)
        print(told(evaluation, scored), flush=True)  # noqa: T201
        if scored.score is None:
            return
        self._progress.scores[step] = scored.score.score
        is_last = is_last or earlystopping.exhausted(self._rule, self._progress)
        if self._keeper.due(step, is_best=scored.is_best, is_last=is_last):
            self._save(step)
        if not is_last:
            stage("Training")

    def _train_loss(self) -> float:
        return loss_on(self._task, self._model, self._prepared.train)


def _on_device(prepared: Prepared, tabular: TabularConfig, family: FamilyModule) -> Prepared:
    gpus = gpus_here()
    seen = Seen(gpus, family.builds() if gpus else frozenset())
    searched = frozenset(() if tabular.search is None else (one.name for one in tabular.search.space))
    defaults = default_values(tabular.family.hyperparameters)
    device = choose(tabular.family.name, tabular.parameters, defaults, seen, searched)
    return replace(prepared, problem=replace(prepared.problem, device=device))


def _check_metrics(config: Config, task: Task) -> None:
    known = ("eval/loss", *(f"eval/{metric}" for metric in task.metrics))
    rule = config.early_stopping
    require_metric("scoring.metric", config.scoring.metric, known, f"a {task.name}")
    require_metric("earlyStopping.metric", None if rule is None else rule.metric_name, known, f"a {task.name}")

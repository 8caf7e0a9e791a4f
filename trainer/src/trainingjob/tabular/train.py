"""Gradient boosting on a table: trained round by round, evaluated every N rounds, with the best step's model as the result."""

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from trainingjob import reporting
from trainingjob.config import Config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import invalid, nearest
from trainingjob.keeper import CheckpointKeeper
from trainingjob.progress import Progress, read_progress
from trainingjob.result import fetch_best
from trainingjob.resuming import Resumable, take_first_good
from trainingjob.scoring.best import BestTracker, Evaluation, Scoring
from trainingjob.storage.manifest import Damaged, store_verified
from trainingjob.tabular.booster import MODEL_FILE, boost, booster, load, matrix
from trainingjob.tabular.data import Floats, Split, Table, read_table, split_rows, write_rows
from trainingjob.tabular.parameters import TabularConfig
from trainingjob.tabular.result import lowest

_METRICS = ("eval/loss", "eval/accuracy", "eval/auc")


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
    _check_scoring(config.scoring)
    _stage("Loading", tabular.source)
    table = read_table(tabular.source, tabular.target, tabular.features)
    split = split_rows(table, tabular.eval_split, tabular.seed)
    sizes = {"samples": len(table.y), "trainSamples": len(split.train), "evalSamples": len(split.held_out)}
    reporting.emit({"type": "dataset", **sizes, "sha256": table.sha256})
    keeper = CheckpointKeeper(config.storage.checkpoints, config.checkpoints, version)
    run = _Run(config, tabular, table, split, keeper)
    if config.resume is not None:
        run.resume(config.resume)
    stopped = run.boost()
    _stage("Uploading", config.storage.output)
    run.store_output(config.storage.output, version)
    return ExitCode.STOPPED if stopped else ExitCode.SUCCESS


class _Run:
    def __init__(
        self, config: Config, tabular: TabularConfig, table: Table, split: Split, keeper: CheckpointKeeper
    ) -> None:
        self._parameters, self._scoring = tabular.parameters, config.scoring
        self._rounds = tabular.parameters.n_estimators
        self._table, self._split, self._keeper = table, split, keeper
        self._train = matrix(table, split.train)
        self._held_out = matrix(table, split.held_out)
        self._progress = Progress(BestTracker(config.scoring), table.sha256)
        self._booster = booster(tabular.parameters, [self._train, self._held_out])
        self._done = 0
        self._saved = 0
        wanted = config.evaluation_every_steps or max(1, self._rounds // 10)
        self._every = min(wanted, self._rounds)
        self._log_every = max(1, self._every // 4)
        notes = [f"train loss is reported every {self._log_every} rounds"]
        if wanted > self._every:
            notes.append(f"evaluation every {wanted} rounds was clamped to the run's {self._rounds}")
        reporting.emit(
            {
                "type": "totals",
                "totalSteps": self._rounds,
                "evaluationEverySteps": self._every,
                "requestedEvaluationEverySteps": wanted,
                "checkpointEverySteps": (config.checkpoints and config.checkpoints.every_steps) or self._every,
                "notes": notes,
            }
        )

    def resume(self, checkpoints: tuple[Resumable, ...]) -> None:
        """Goes on from the first checkpoint that is good, with its model and all that the run knew then."""
        with tempfile.TemporaryDirectory(prefix="resume-") as name:
            folder = Path(name) / "checkpoint"

            def take(checkpoint: Resumable) -> None:
                progress = read_progress(folder, self._scoring, self._table.sha256)
                try:
                    model = booster(self._parameters, [self._train, self._held_out], folder / MODEL_FILE)
                    rounds = model.num_boosted_rounds()
                except ValueError as error:
                    raise Damaged(f"{MODEL_FILE} cannot be used: {str(error).splitlines()[0]}") from error
                if rounds != checkpoint.step or rounds > self._rounds:
                    raise Damaged(f"{MODEL_FILE} has {rounds} rounds; the run has {self._rounds}")
                self._progress, self._booster, self._done = progress, model, rounds

            take_first_good(checkpoints, folder, take)
        self._saved = self._done

    def boost(self) -> bool:
        """Trains all rounds, or until a stop is asked for; the last round is evaluated in either case."""
        _stage("Training")
        for step in range(self._done + 1, self._rounds + 1):
            boost(self._booster, self._train, self._parameters.random_state, step)
            stop = reporting.should_stop()
            last = stop or step == self._rounds
            evaluates = last or step % self._every == 0
            if evaluates or step % self._log_every == 0:
                reporting.report(step, {"train/loss": self._train_loss()})
            if evaluates:
                self._evaluate(step, is_last=last)
            if reporting.checkpoint_requested():
                # One of this very step is an answer, too; whoever asked waits for it to be told.
                if self._saved == step:
                    self._keeper.tell(step)
                else:
                    self._save(step)
                    _stage("Training")
            if last:
                return step < self._rounds
        return False

    def store_output(self, uri: str, version: str) -> None:
        """Stores the best step's model with its metrics and the held-out rows, and reports where."""
        with tempfile.TemporaryDirectory(prefix="output-") as name:
            folder = Path(name) / "output"
            folder.mkdir()
            best = fetch_best(self._progress, self._keeper, Path(name))
            model = load(Path(name) / MODEL_FILE)
            model.save_model(str(folder / MODEL_FILE))
            write_rows(folder / "heldout.csv", self._table, self._split.held_out)
            metrics = self._measure(model)
            document = {
                "bestStep": best,
                "score": self._progress.scores[best],
                "heldOut": {
                    "rows": len(self._split.held_out),
                    **{key.removeprefix("eval/"): value for key, value in metrics.items()},
                },
                "train": {"rows": len(self._split.train), "loss": self._progress.evaluations[best]["train/loss"]},
                "target": self._table.target,
                "features": list(self._table.features),
                "datasetSHA256": self._table.sha256,
                "lowestEvalLoss": lowest(self._progress.evaluations),
            }
            (folder / "metrics.json").write_text(json.dumps(document, indent=1) + "\n")
            sha = store_verified(folder, uri, best, version)
        result = {"type": "result", "bestStep": best, "output": {"uri": uri, "manifestSHA256": sha}, "metrics": metrics}
        reporting.emit(result)

    def _save(self, step: int) -> None:
        _stage("Checkpointing")
        self._keeper.save(lambda folder: self._booster.save_model(str(folder / MODEL_FILE)), step, self._progress)
        self._saved = step

    def _evaluate(self, step: int, *, is_last: bool) -> None:
        _stage("Evaluating")
        metrics = self._measure(self._booster)
        train_loss = self._train_loss()
        if not math.isfinite(metrics["eval/loss"]) or not math.isfinite(train_loss):
            raise TrainingError(
                ExitCode.DIVERGED,
                f"the loss at step {step} is not finite; lower parameters.learningRate or check the data",
            )
        self._progress.evaluations[step] = {**metrics, "train/loss": train_loss}
        reporting.report(step, metrics, evaluation=True)
        scored = self._progress.tracker.add(Evaluation(step, metrics["eval/loss"], train_loss, {**metrics}))
        if scored.score is None:
            return
        self._progress.scores[step] = scored.score.score
        if scored.is_best:
            parts = ", ".join(f"{name} {value:.4f}" for name, value in scored.score.components.items())
            print(f"new best: step {step}, score {scored.score.score:.6f} ({parts})", flush=True)  # noqa: T201
        if self._keeper.due(step, is_best=scored.is_best, is_last=is_last):
            self._save(step)
        if not is_last:
            _stage("Training")

    def _train_loss(self) -> float:
        return float(log_loss(self._table.y[self._split.train], self._booster.predict(self._train), labels=[0, 1]))

    def _measure(self, model: Any) -> dict[str, float]:
        """Loss, accuracy and area under the curve on the held-out rows."""
        truth = self._table.y[self._split.held_out]
        probability: Floats = np.asarray(model.predict(self._held_out))
        return {
            "eval/loss": float(log_loss(truth, probability, labels=[0, 1])),
            "eval/accuracy": float(np.mean((probability > 0.5) == (truth == 1))),
            "eval/auc": float(roc_auc_score(truth, probability)),
        }


def _check_scoring(scoring: Scoring) -> None:
    name = scoring.metric
    if name is not None and name not in _METRICS:
        raise invalid(
            f'scoring.metric.name: "{name}" is no metric of this trainer.{nearest(name, _METRICS)} It has: {", ".join(_METRICS)}'
        )


def _stage(stage: str, detail: str | None = None) -> None:
    reporting.emit({"type": "stage", "stage": stage} | ({} if detail is None else {"detail": detail}))

"""A tabular job that searches: a step is a trial, and the best trial's model is the result."""

import json
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainingjob import reporting
from trainingjob.config import Config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.keeper import CheckpointKeeper
from trainingjob.progress import Progress, read_progress
from trainingjob.result import fetch_best
from trainingjob.resuming import Resumable, take_first_good
from trainingjob.scoring.best import BestTracker, Evaluation
from trainingjob.scoring.words import initialised
from trainingjob.storage.manifest import Damaged
from trainingjob.tabular.families.family import FamilyModule
from trainingjob.tabular.folds import cross_validated
from trainingjob.tabular.measure import measure
from trainingjob.tabular.output import Output, store_output
from trainingjob.tabular.pace import pace_of
from trainingjob.tabular.parameters import TabularConfig
from trainingjob.tabular.prepare import Prepared
from trainingjob.tabular.search.fit import Fit, Setting, fit, parameters_of
from trainingjob.tabular.search.parameters import SearchConfig
from trainingjob.tabular.search.record import Trial, read_evaluations, read_trials, write_search
from trainingjob.tabular.search.study import Proposal, propose
from trainingjob.tabular.tasks.task import Task
from trainingjob.tabular.told import answer_learning_rate, stage

_MOST_TEXT = 64


class SearchRun:
    """The trials of one search, one after the other."""

    def __init__(
        self,
        config: Config,
        tabular: TabularConfig,
        task: Task,
        family: FamilyModule,
        prepared: Prepared,
        keeper: CheckpointKeeper,
        search: SearchConfig,
    ) -> None:
        every = config.evaluation_every_steps
        self._setting = Setting(tabular, task, family, prepared, config.scoring, config.early_stopping, every)
        self._keeper, self._search = keeper, search
        self._progress = Progress(BestTracker(config.scoring), prepared.table.sha256)
        self._trials: list[Trial] = []
        self._answered: float | None = None
        rounds = tabular.family.steps
        self._pace = pace_of(1 if rounds is None else tabular.parameters[rounds], every, segmented=family.SEGMENTED)
        self._device = prepared.problem.device
        notes = [self._how()]
        if search.wanted > search.trials:
            notes.append(f"the grid has {search.trials} combinations, fewer than the {search.wanted} trials asked for")
        notes += [*self._device.notes, *prepared.notes]
        reporting.emit(
            {
                "type": "totals",
                "totalSteps": search.trials,
                "evaluationEverySteps": 1,
                "checkpointEverySteps": 1,
                "notes": [note[:1000] for note in notes[:16]],
            }
        )

    def resume(self, checkpoints: tuple[Resumable, ...]) -> None:
        """Goes on after the trials of the first checkpoint that is good."""
        with tempfile.TemporaryDirectory(prefix="resume-") as name:
            folder = Path(name) / "checkpoint"

            def take(checkpoint: Resumable) -> None:
                progress = read_progress(folder, self._setting.scoring, self._setting.prepared.table.sha256)
                trials = read_trials(folder, self._search)
                if len(trials) != checkpoint.step or len(trials) > self._search.trials:
                    raise Damaged(f"it has {len(trials)} trials; the search has {self._search.trials}")
                self._progress, self._trials = progress, trials

            take_first_good(checkpoints, folder, take)
        if self._trials:
            self._tell_search()

    def train(self) -> bool:
        """Runs all trials, or those until the time is up or a stop is asked for; one that is stopped is given up.

        Returns:
            Whether a stop was asked for before the end.

        Raises:
            TrainingError: exit code 5 when no trial gave a model.
        """
        print(initialised(self._progress.tracker), flush=True)  # noqa: T201
        self._progress.trained_on(self._device.name)
        while len(self._trials) < self._search.trials and not self._timed_out():
            if reporting.should_stop() or not self._run_next():
                return True
        if self._progress.tracker.best_step is None:
            raise TrainingError(ExitCode.DIVERGED, self._nothing())
        return False

    def settle(self) -> None:
        """Nothing more will go on from a checkpoint."""
        self._keeper.settle(self._progress)

    def has_result(self) -> bool:
        """Whether a trial is finished that can be the result."""
        return self._progress.tracker.best_step is not None

    def store_output(self, uri: str, version: str) -> None:
        """Stores the best trial's model with all that belongs to it, and reports where."""
        setting, task = self._setting, self._setting.task
        tabular, prepared = setting.tabular, setting.prepared
        with tempfile.TemporaryDirectory(prefix="best-") as name:
            folder = Path(name)
            best = fetch_best(self._progress, self._keeper, folder)
            trial, path = self._trials[best - 1], folder / tabular.family.model_file
            model = setting.family.load(path, task.name, len(prepared.classes))
            chosen = replace(tabular, parameters=parameters_of(tabular, trial.parameters))
            folds = cross_validated(chosen, task, setting.family, prepared, trial.rounds, setting.every)
            stage("Uploading", uri)
            output = Output(
                chosen,
                task,
                prepared,
                self._progress,
                best,
                model,
                path,
                rounds=trial.rounds,
                evaluations=read_evaluations(folder),
                folds=folds,
                trials=tuple(self._trials),
            )
            sha = store_output(output, uri, version)
            metrics = measure(task, model, prepared.held_out)
        result = {"type": "result", "bestStep": best, "output": {"uri": uri, "manifestSHA256": sha}, "metrics": metrics}
        reporting.emit(result)

    def _how(self) -> str:
        search = self._search
        limit = "" if search.timeout_seconds is None else f", none begun after {search.timeout_seconds} s of them"
        names = ", ".join(one.name for one in search.space)
        pruner = "" if search.pruner == "None" else f"; pruner {search.pruner}"
        rounds = "" if self._pace.steps == 1 else f", each evaluated every {self._pace.every} of its rounds"
        return (
            f"a step is a trial of the search: {search.trials} by {search.sampler}, seed {search.seed}{pruner}{limit}, over "
            f"{names}{rounds}"
        )

    def _run_next(self) -> bool:
        """Runs one trial; whether it came to an end."""
        proposal = propose(self._search, self._trials, self._pace.steps // self._pace.every)
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="trial-") as name:
            folder = Path(name)
            path = folder / self._setting.tabular.family.model_file
            found = fit(self._setting, proposal, path, lambda done, rounds: self._tell_round(proposal, done, rounds))
            seconds = time.monotonic() - begun
            if found.state is None:
                return False
            self._progress.training_seconds += seconds
            if found.state != "Complete":
                path.unlink(missing_ok=True)
            self._finish(proposal, found, seconds, folder)
        return True

    def _finish(self, proposal: Proposal, found: Fit, seconds: float, folder: Path) -> None:
        assert found.state is not None
        done = found.state == "Complete"
        metrics = found.evaluations[found.best] if done else {}
        trial = Trial(
            proposal.number,
            found.state,
            proposal.parameters,
            round(seconds, 3),
            rounds=found.best if done else 0,
            score=found.score if done else None,
            metrics=metrics,
            reason=found.reason,
            reported=found.reported,
            kept=proposal.kept(),
        )
        self._trials.append(trial)
        step = trial.number
        if done:
            self._evaluated(trial)
        else:
            # A step without an evaluation: it is done, and can be neither best nor result.
            reporting.report(step, {})
        print(self._words(trial), flush=True)  # noqa: T201
        if trial.state == "Failed":
            message = f"trial {step} of {self._search.trials} failed: {trial.reason}; its parameters: {_told(trial.parameters)}"
            reporting.emit({"type": "alert", "name": "TrialFailed", "severity": "Warning", "message": message[:4000]})
        stage("Checkpointing", f"trial {step} of {self._search.trials}")
        write_search(folder, self._search, self._trials, evaluations=found.evaluations if done else {})
        self._progress.write(folder)
        self._keeper.store(folder, step, self._progress)
        self._tell_search()

    def _evaluated(self, trial: Trial) -> None:
        step, metrics = trial.number, trial.metrics
        self._progress.evaluations[step] = metrics
        # In one event: train losses of different trials are no curve.
        reporting.report(step, metrics, evaluation=True)
        values: dict[str, float | None] = {**metrics}
        scored = self._progress.tracker.add(Evaluation(step, metrics["eval/loss"], metrics["train/loss"], values))
        if scored.score is not None:
            self._progress.scores[step] = scored.score.score

    def _tell_round(self, proposal: Proposal, done: int, rounds: int) -> None:
        where = f", round {done} of {rounds}" if rounds > 1 else ""
        stage("Training", f"trial {proposal.number} of {self._search.trials}{where}")
        self._answered = answer_learning_rate(self._answered)
        self._keeper.follow()
        # Whoever asked for a checkpoint has all that another attempt could go on with; before the first trial is done, there is none.
        if reporting.checkpoint_requested() and self._trials:
            self._keeper.tell(len(self._trials))

    def _tell_search(self) -> None:
        """What status shows; the best trial's parameters as texts, because some are words."""
        states = Counter(trial.state for trial in self._trials)
        best = self._progress.tracker.best_step
        event: dict[str, Any] = {
            "type": "search",
            "trials": self._search.trials,
            "complete": states["Complete"],
            "pruned": states["Pruned"],
            "failed": states["Failed"],
        }
        if best is not None:
            event["bestTrial"] = best
            event["bestParameters"] = {
                name: _text(value)[:_MOST_TEXT] for name, value in self._trials[best - 1].parameters.items()
            }
        reporting.emit(event)

    def _words(self, trial: Trial) -> str:
        best = self._progress.tracker.best_step
        new = "NEW BEST: " if best == trial.number else ""
        ended = {"Complete": "", "Pruned": " pruned", "Failed": " failed"}[trial.state]
        reason = "" if trial.reason is None else f" ({trial.reason})"
        score = "" if trial.score is None else f", score {trial.score:.6f} at round {trial.rounds}"
        known = (
            "" if best in (None, trial.number) else f"; best so far is trial {best}, {self._progress.scores[best]:.6f}"
        )
        return (
            f"{new}trial {trial.number} of {self._search.trials}{ended}{reason}: {_told(trial.parameters)}; "
            f"{trial.seconds:.1f} s{score}{known}"
        )

    def _timed_out(self) -> bool:
        limit = self._search.timeout_seconds
        if limit is None or not self._trials or self._progress.training_seconds < limit:
            return False
        message = (
            f"{len(self._trials)} of {self._search.trials} trials took {self._progress.training_seconds:.0f} s, and after {limit} s none is "
            "begun; the best of them is the result"
        )
        reporting.emit({"type": "alert", "name": "SearchTimedOut", "severity": "Info", "message": message})
        return True

    def _nothing(self) -> str:
        reasons = Counter(trial.reason for trial in self._trials if trial.state == "Failed")
        most, count = reasons.most_common(1)[0]
        return (
            f"no trial of {len(self._trials)} gave a model; {count} of them failed so: {most}; change trainer.tabular.search.space or "
            "check the data"
        )


def _told(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in parameters.items())


def _text(value: Any) -> str:
    """As a job would write it."""
    if isinstance(value, bool) or not isinstance(value, float):
        return value if isinstance(value, str) else json.dumps(value)
    return f"{value:.6g}"

"""The life of a training: when it is evaluated, saved and stopped, and which step is best."""

import math
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainingjob import earlystopping, reporting
from trainingjob.earlystopping import EarlyStopping
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune.eventfiles import copy_event_files
from trainingjob.finetune.predict import Predictor
from trainingjob.finetune.ranks import Ranks
from trainingjob.finetune.reports import evaluation_metrics
from trainingjob.finetune.resume import write_base
from trainingjob.finetune.source import Base
from trainingjob.finetune.uploads import Uploads
from trainingjob.keeper import CheckpointKeeper
from trainingjob.progress import Progress
from trainingjob.scoring.best import Evaluation
from trainingjob.scoring.metric import require_metric
from trainingjob.scoring.words import initialised, told
from trainingjob.stages import Seldom, enter

# So many reports of a loss that is not finite, one after the other, are no accident of one batch.
MOST_NOT_FINITE = 3

_FLAGS = ("should_training_stop", "should_epoch_stop", "should_save", "should_evaluate", "should_log")


@dataclass
class Life(TrainerCallback):  # type: ignore[misc]
    """Evaluates every `every` steps and at the last, saves what is due there, and obeys requests from outside.

    Of several processes the first decides, and the others do the same at the same step. `samples`: rows of a step.

    `stopped` tells after the training whether it was cut short; then its last step was saved, but not evaluated: an
    evaluation may take longer than a pod is given to end.
    """

    every: int
    base: Base
    samples: int
    progress: Progress
    keeper: CheckpointKeeper
    uploads: Uploads
    logs: Path
    rule: EarlyStopping | None
    predictor: Predictor | None
    ranks: Ranks
    stopped: bool = False
    _saved: int = 0
    _train_loss: float | None = None
    _not_finite: int = 0
    _begun: float = 0.0
    _batches: int = 0
    _evaluating: Seldom = field(default_factory=lambda: Seldom("Evaluating"))

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._saved = state.global_step
        print(initialised(self.progress.tracker), flush=True)  # noqa: T201
        enter("Training")

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._begun = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.progress.training_seconds += time.monotonic() - self._begun
        self.uploads.check()
        step = state.global_step
        # A callback of the user's, which comes before this one, may end the training at any step; that is then the last.
        last = step >= state.max_steps or control.should_training_stop
        if not last and self.ranks.first and reporting.should_stop():
            self.stopped = True
            control.should_training_stop = True
            control.should_save = self._saved != step
        elif last or step % self.every == 0:
            # The log comes first, so that the evaluation has a train loss of its own step.
            control.should_log = control.should_evaluate = True
            self._evaluation_begins()
        if self.ranks.first and (reporting.checkpoint_requested() or self.keeper.overdue()):
            control.should_save = True
        self._agree(control)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if logs is not None and "loss" in logs:
            loss = float(logs["loss"])
            self._count(loss, state.global_step)
            self._train_loss = loss if math.isfinite(loss) else self._train_loss
            self._evaluate_an_end(state, control)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        ends = control.should_training_stop and not self.stopped and state.global_step < state.max_steps
        if ends and state.global_step in self.progress.scores:
            # It was evaluated when nobody knew that it is the last.
            control.should_save = self._saved != state.global_step
        self._evaluate_an_end(state, control)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, eval_dataloader: Any, **_: Any
    ) -> None:
        # No step comes while it lasts, and nothing else shows that it moves.
        self._batches += 1
        self._evaluating.tell(f"{self._batches} of {len(eval_dataloader)} batches")

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        model: Any = None,
        **_: Any,
    ) -> None:
        step, found = state.global_step, evaluation_metrics(metrics or {})
        if self.predictor is not None:
            predict = partial(self.predictor.predict, step, model)
            # The others wait: answers are one process's work, and all rank by the same figures.
            found |= self.ranks.shared(predict)
        measured = found.get("eval/loss", found.get("eval/reward", math.nan))
        loss = found.get("eval/loss", math.nan)
        self._require_metrics(sorted(found))
        self._count(measured, step)
        reporting.report(step, found, evaluation=True, epoch=state.epoch)
        finite = loss if math.isfinite(loss) else None
        evaluation = Evaluation(step, finite, self._train_loss, {**found})
        scored = self.progress.tracker.add(evaluation)
        print(told(evaluation, scored), flush=True)  # noqa: T201
        known = found | ({} if self._train_loss is None else {"train/loss": self._train_loss})
        self.progress.evaluations[step] = {name: value for name, value in known.items() if math.isfinite(value)}
        if scored.score is not None:
            self.progress.scores[step] = scored.score.score
            last = step >= state.max_steps or control.should_training_stop or self._ends_early(control)
            # What is stored is not stored again: the operator counts on it as it is.
            if self._saved != step and self.keeper.due(step, is_best=scored.is_best, is_last=last):
                control.should_save = True
        self._agree(control)
        if not control.should_save:
            enter("Training")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        step = self._saved = state.global_step
        # Each has a part of the checkpoint to write.
        self.ranks.wait()
        if not self.ranks.first:
            return
        enter("Checkpointing")
        folder = Path(str(args.output_dir)) / f"checkpoint-{step}"
        # Holds nothing that is needed, as a pickle, which nobody should have to open.
        (folder / "training_args.bin").unlink(missing_ok=True)
        write_base(folder, self.base, self.samples)
        copy_event_files(self.logs, folder)
        # A callback of the user's begins anew in the next attempt, and would not end it where it ended this one.
        self.progress.ended = control.should_training_stop and not self.stopped
        self.uploads.hand_over(folder, step, self.progress)
        enter("Training")

    def _evaluate_an_end(self, state: TrainerState, control: TrainerControl) -> None:
        """A callback of the user's may end the training here as well; the step that is reached is the last then."""
        known = control.should_evaluate or state.global_step in self.progress.evaluations
        if control.should_training_stop and not self.stopped and not known:
            control.should_log = control.should_evaluate = True
            self._evaluation_begins()
        self._agree(control)

    def _evaluation_begins(self) -> None:
        enter("Evaluating")
        self._batches, self._evaluating = 0, Seldom("Evaluating")

    def _agree(self, control: TrainerControl) -> None:
        """What happens at a step follows from what the first alone hears from outside, and what a callback of the user's may decide
        in each process for itself; ranks that do not do the same wait for each other for ever."""
        wanted = [float(getattr(control, flag)) for flag in _FLAGS]
        *flags, stopped = self.ranks.agreed([*wanted, float(self.stopped)])
        for flag, value in zip(_FLAGS, flags, strict=True):
            setattr(control, flag, bool(value))
        self.stopped = bool(stopped)

    def _require_metrics(self, found: list[str]) -> None:
        rule, scoring = self.rule, self.progress.tracker.scoring
        require_metric("scoring.metric", scoring.metric, found, "these evaluations")
        require_metric("earlyStopping.metric", None if rule is None else rule.metric_name, found, "these evaluations")

    def _ends_early(self, control: TrainerControl) -> bool:
        if self.rule is None or not earlystopping.exhausted(self.rule, self.progress):
            return False
        earlystopping.tell(self.rule)
        control.should_training_stop = True
        return True

    def _count(self, loss: float, step: int) -> None:
        self._not_finite = 0 if math.isfinite(loss) else self._not_finite + 1
        if self._not_finite >= MOST_NOT_FINITE:
            raise TrainingError(
                ExitCode.DIVERGED,
                f"the loss was not finite {MOST_NOT_FINITE} times in a row, at last at step {step}; lower "
                "trainer.fineTune.parameters.learningRate, or check the data",
            )

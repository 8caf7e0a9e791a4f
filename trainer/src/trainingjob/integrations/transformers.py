"""The callback for trainers of Hugging Face: transformers' own, TRL's, and whatever is made of them.

callback = TrainingJobCallback()
trainer = Trainer(..., callbacks=[callback])
trainer.train(resume_from_checkpoint=callback.resume())
"""

import shutil
import tempfile
from collections.abc import Sized
from pathlib import Path
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from trainingjob.finetune.reports import Reports, evaluation_metrics
from trainingjob.integrations.joined import JoinedRun
from trainingjob.stages import enter


class TrainingJobCallback(Reports):
    """Reports what the trainer logs and evaluates, stores its checkpoints, and obeys `stop` and `checkpoint`.

    Where the job says `spec.evaluation.everySteps`, evaluates at these steps and at the last; leave `eval_strategy` at "no"
    then. Where it has a place for checkpoints, saves at each new best, at the last step, at a stop and on request; what
    `save_strategy` saves besides is stored, too. When the run was asked to stop, `train` ends the process with exit code 130.
    """

    def __init__(self) -> None:
        super().__init__(None)
        self._run = JoinedRun()
        self._resumed: Path | None = None
        self._training = False

    def resume(self) -> str | None:
        """The folder for `train(resume_from_checkpoint=...)`; None when the run begins."""
        folder = Path(tempfile.mkdtemp(prefix="resumed-"))
        if self._run.resume(folder, ("trainer_state.json", "optimizer.pt", "scheduler.pt")) == 0:
            shutil.rmtree(folder)
            return None
        self._resumed = folder
        return str(folder)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        if args.world_size > 1:
            raise ValueError(
                f"TrainingJobCallback is for one process and there are {args.world_size}; start the trainer without a launcher, or "
                "leave the callback out and call trainingjob.report() in one of them"
            )
        super().on_train_begin(args, state, control, **more)
        rows = getattr(more.get("train_dataloader"), "dataset", None)
        self._train_samples = len(rows) if isinstance(rows, Sized) else None
        by_steps = str(getattr(args.eval_strategy, "value", args.eval_strategy)) == "steps"
        own = int(args.eval_steps) if by_steps and args.eval_steps is not None and args.eval_steps >= 1 else None
        wanted = self._run.evaluation_every_steps
        self._run.begin(state.max_steps, own if wanted is None else min(wanted, state.max_steps))
        self._training = True
        if self._resumed is not None:
            # Everything of it is in memory now.
            shutil.rmtree(self._resumed)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        super().on_step_end(args, state, control, **more)
        asked, step = self._run.asked(), state.global_step
        every, last = self._run.evaluation_every_steps, step >= state.max_steps
        if asked.stop and not last:
            # Not evaluated: that may take longer than a pod is given to end.
            control.should_training_stop = True
        elif every is not None and (last or step % every == 0):
            # The log comes first, so that the evaluation has a train loss of its own step.
            control.should_log = control.should_evaluate = True
            enter("Evaluating")
        control.should_save = control.should_save or asked.checkpoint or (last and self._run.stores)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        # One after the training is its caller's: its step was evaluated, or will not be trained on.
        if self._training and self._run.evaluated(state.global_step, evaluation_metrics(metrics or {}), state.epoch):
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._run.saved(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", state.global_step)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._training = False
        self._run.end()

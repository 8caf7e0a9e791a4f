"""The callback for Lightning.

callback = TrainingJobCallback()
trainer = lightning.Trainer(..., callbacks=[callback])
trainer.fit(model, data, ckpt_path=callback.resume())
"""

import math
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from trainingjob import reporting
from trainingjob.integrations.joined import JoinedRun
from trainingjob.stages import enter

_FILE = "lightning.ckpt"
_TRAIN = re.compile(r"(?:train|training)[_/](.+)")
_EVAL = re.compile(r"(?:val|valid|validation|eval)[_/](.+)")


class TrainingJobCallback(Callback):  # type: ignore[misc]
    """Reports what the module logs, stores checkpoints, and obeys `stop` and `checkpoint`.

    What is logged as `train_loss` or `train/loss` becomes `train/loss`, `val_loss` or `val/loss` becomes `eval/loss`, and so with
    every other name; one that begins with neither is of the training. Where the job has a place for checkpoints, saves at
    each new best, at the last step, at a stop and on request. When the run was asked to stop, `fit` ends the process with
    exit code 130. `evaluation_every_steps` is what the job says, for `val_check_interval`; None where it says nothing.
    """

    def __init__(self) -> None:
        self._run = JoinedRun()
        self.evaluation_every_steps = self._run.evaluation_every_steps
        self._step = self._reported = self._saved = 0
        self._total: int | None = None

    def resume(self) -> str | None:
        """The file for `fit(ckpt_path=...)`; None when the run begins."""
        folder = Path(tempfile.mkdtemp(prefix="resumed-"))
        return str(folder / _FILE) if self._run.resume(folder, (_FILE,)) > 0 else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size > 1:
            raise ValueError(
                f"TrainingJobCallback is for one process and there are {trainer.world_size}; write devices=1, or leave the callback "
                "out and call trainingjob.report() in one of them"
            )
        steps, batches = trainer.estimated_stepping_batches, trainer.val_check_batch
        self._total = int(steps) if math.isfinite(steps) and steps > 0 else None
        has_evaluations = trainer.enable_validation and batches is not None and math.isfinite(batches)
        every = max(1, int(batches) // trainer.accumulate_grad_batches) if has_evaluations else None
        self._step = self._reported = self._saved = trainer.global_step
        self._run.begin(self._total, every)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Gradients that are still gathered are in no checkpoint: only whole steps count.
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        if self._step % trainer.log_every_n_steps == 0:
            self._point(trainer)
        asked = self._run.asked()
        if asked.checkpoint:
            self._save(trainer)
        if asked.stop and (self._total is None or self._step < self._total):
            # Lightning's own way to stop would evaluate first, and go on where there is a least number of epochs.
            self._run.end()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if _is_of_training(trainer):
            # The evaluation is scored with a train loss of its own step.
            self._point(trainer)
            enter("Evaluating")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if _is_of_training(trainer) and self._run.evaluated(self._step, _named(trainer, "eval"), _epoch(trainer)):
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._saved != self._step and self._run.stores:
            self._save(trainer)
        self._run.end()

    def _point(self, trainer: Trainer) -> None:
        metrics = _named(trainer, "train")
        if self._reported != self._step and metrics:
            self._reported = self._step
            reporting.report(self._step, metrics, epoch=_epoch(trainer))

    def _save(self, trainer: Trainer) -> None:
        if self._saved == self._step:
            return
        folder = Path(tempfile.mkdtemp(prefix="checkpoint-"))
        try:
            trainer.save_checkpoint(folder / _FILE)
            self._saved = self._step
            self._run.saved(folder, self._step)
        finally:
            shutil.rmtree(folder)


def _is_of_training(trainer: Trainer) -> bool:
    """Whether an evaluation is of a step that was trained: not the trial before the first, nor one of `validate`."""
    return not trainer.sanity_checking and trainer.state.fn == "fit"


def _named(trainer: Trainer, kind: str) -> dict[str, float]:
    """Metrics of the training or of the evaluation by our names, without the copies that Lightning keeps of single batches."""
    found: dict[str, float] = {}
    for name, value in trainer.callback_metrics.items():
        train, evaluation = _TRAIN.fullmatch(name), _EVAL.fullmatch(name)
        if name.endswith(("_step", "_epoch")) or (kind == "eval") != (evaluation is not None):
            continue
        bare = evaluation[1] if evaluation else train[1] if train else name
        found[re.sub(r"[^A-Za-z0-9_./-]", "_", f"{kind}/{bare}")[:64]] = float(value)
    return dict(list(found.items())[: reporting.MOST_METRICS])


def _epoch(trainer: Trainer) -> float:
    batches = trainer.num_training_batches
    done = trainer.fit_loop.epoch_loop.batch_progress.current.completed
    return float(trainer.current_epoch + (done / batches if math.isfinite(batches) and batches > 0 else 0.0))

"""Fine-tuning from the job's configuration to its published model."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainingjob import earlystopping, reporting
from trainingjob.config import Config
from trainingjob.datafile import kept_file
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import invalid
from trainingjob.finetune import memory
from trainingjob.finetune.answers import Judge
from trainingjob.finetune.callbacks import callback_classes
from trainingjob.finetune.dataset import Prepared, prepare, prepare_stream
from trainingjob.finetune.eventfiles import copy_event_files
from trainingjob.finetune.hubpublish import claim_repository
from trainingjob.finetune.learningrate import LearningRate
from trainingjob.finetune.life import Life
from trainingjob.finetune.model import load_model, load_tokenizer
from trainingjob.finetune.parameters import FineTuneConfig
from trainingjob.finetune.predict import Predictor
from trainingjob.finetune.processes import samples_of
from trainingjob.finetune.publish import Trained, publish
from trainingjob.finetune.ranks import Ranks
from trainingjob.finetune.reports import Reports
from trainingjob.finetune.resume import resume
from trainingjob.finetune.schedules import library_kwargs
from trainingjob.finetune.source import Base, base_model
from trainingjob.finetune.stream import Stream
from trainingjob.finetune.trackers import check_trackers
from trainingjob.finetune.trainers import make_trainer, total_steps, warmup_steps
from trainingjob.finetune.uploads import Uploads
from trainingjob.keeper import CheckpointKeeper
from trainingjob.progress import Progress
from trainingjob.resuming import Resumable
from trainingjob.scoring.best import BestTracker
from trainingjob.stages import enter
from trainingjob.storage.folder import local_path


@dataclass(frozen=True)
class _Training:
    """What is trained on what. A try after one for which memory did not suffice has another `finetune` and `resumable`: what it
    may go on from, None for a run that begins. Files of trackers go to `logs`."""

    config: Config
    finetune: FineTuneConfig
    base: Base
    tokenizer: Any
    prepared: Prepared
    keeper: CheckpointKeeper
    progress: Progress
    resumable: tuple[Resumable, ...] | None
    logs: Path
    ranks: Ranks


def train(config: Config, version: str) -> ExitCode:
    """Runs a fine-tuning job and stores its result.

    Returns:
        SUCCESS, or STOPPED when the run was asked to stop; then its last step was stored as a checkpoint.

    Raises:
        TrainingError: with the exit code of what went wrong.
    """
    finetune = config.trainer
    if not isinstance(finetune, FineTuneConfig) or config.checkpoints is None or config.storage.checkpoints is None:
        raise invalid("checkpoints: a fineTune job needs checkpoints with a uri, and storage.checkpoints")
    if config.storage.output is None:
        raise invalid("output: a fineTune job needs output with a uri, and storage.output")
    # What is not in the image is said before anything is paid for.
    callback_classes(finetune.callbacks)
    check_trackers(finetune.parameters.report_to)
    if config.predictions is not None:
        Judge(config.predictions.json_schema)
    ranks = Ranks()
    if ranks.first:
        claim_repository(config)
    enter("Downloading", finetune.model.source)
    # What one process has found or made, the others need not look for again.
    base = ranks.shared(lambda: base_model(finetune.model))
    tokenizer = load_tokenizer(base.folder, finetune.model)
    cache = None if config.storage.cache is None else local_path(config.storage.cache)
    with ExitStack() as holding, ranks.folder("logs-") as logs:
        prepared = ranks.shared(lambda: _prepared(finetune, tokenizer, ranks.count, cache, holding))
        keeper = CheckpointKeeper(config.storage.checkpoints, config.checkpoints, version)
        progress = Progress(BestTracker(config.scoring), prepared.sha256)
        progress, stopped = _fitting(
            _Training(config, finetune, base, tokenizer, prepared, keeper, progress, config.resume, logs, ranks)
        )
        ranks.leave()
        memory.free()
        if not ranks.first:
            # Whether the run was stopped, failed or succeeded is the first one's to say.
            return ExitCode.SUCCESS
        if stopped:
            return ExitCode.STOPPED
        trained = Trained(config, finetune, base, tokenizer, progress, keeper, prepared.event(), logs)
        with memory.watched():
            publish(trained, config.storage.output, version)
        keeper.settle(progress)
    return ExitCode.SUCCESS


def _prepared(
    finetune: FineTuneConfig, tokenizer: Any, processes: int, cache: Path | None, holding: ExitStack
) -> Prepared:
    if finetune.dataset.shuffle_buffer_size is None:
        return prepare(finetune, tokenizer, processes, cache)
    # A copy of the file stays for as long as rows of it are trained on.
    return prepare_stream(finetune, tokenizer, holding.enter_context(kept_file(finetune.dataset.file)))


def _fitting(training: _Training) -> tuple[Progress, bool]:
    """Trains, and says whether it was cut short. Where memory does not suffice, goes on from the newest checkpoint with a
    smaller batch, some times; the steps stay those that were asked for. Of several processes one cannot do that while the others
    wait for it: whoever started them, be it only one, starts them again."""
    for tries_left in range(memory.MOST_HALVINGS, -1, -1):
        try:
            with training.ranks.folder("training-") as folder, memory.watched():
                return _train(training, folder)
        except TrainingError as error:
            smaller = memory.with_half_the_batch(training.finetune)
            again = tries_left > 0 and not training.ranks.together
            if error.code != ExitCode.OUT_OF_MEMORY or smaller is None or not again:
                raise
            training = replace(training, finetune=smaller, resumable=training.keeper.stored())
        memory.free()
        memory.tell_halved(smaller)
    raise AssertionError("the last try returns or raises")


def _train(training: _Training, folder: Path) -> tuple[Progress, bool]:
    config, finetune, prepared, progress = training.config, training.finetune, training.prepared, training.progress
    ranks = training.ranks
    enter("Loading", finetune.model.source)
    model = load_model(training.base.folder, finetune)
    trainer = make_trainer(
        finetune, model, training.tokenizer, prepared.train, prepared.held_out, folder, training.logs, ranks
    )
    samples = None if isinstance(prepared.train, Stream) else len(trainer.train_dataset)
    total = total_steps(trainer)
    trainer.args.warmup_steps = warmup_steps(finetune.parameters, total)
    trainer.args.lr_scheduler_kwargs = library_kwargs(
        finetune.parameters.lr_scheduler_type, finetune.parameters.lr_scheduler_kwargs, total, trainer.args.warmup_steps
    )
    predictor = None
    if config.predictions is not None:
        rows, length = prepared.held_out_rows, finetune.parameters.max_length
        predictor = Predictor(config.predictions, rows, trainer, training.tokenizer, length)
    every = _totals(training, total, trainer.args.warmup_steps, predictor)
    start = None
    if training.resumable is not None:
        start, progress, step = ranks.shared(lambda: _resumed(training, folder / "resumed", total))
        # All that is left is the output: where an attempt failed at that, the next must not train past the end.
        if step == total or _ended_early(config, progress, total) or progress.ended:
            return progress, False
    uploads = Uploads(training.keeper)
    life = Life(
        every=every,
        base=training.base,
        samples=samples_of(finetune.parameters, ranks.count),
        progress=progress,
        keeper=training.keeper,
        uploads=uploads,
        logs=training.logs,
        rule=config.early_stopping,
        predictor=predictor,
        ranks=ranks,
    )
    trainer.args.run_name = config.job.name
    trainer.add_callback(Reports(samples, ranks))
    trainer.add_callback(LearningRate(ranks))
    trainer.add_callback(life)
    if isinstance(prepared.train, Stream):
        trainer.add_callback(prepared.train.lead)
    try:
        trainer.train(resume_from_checkpoint=None if start is None else str(start))
        enter("Checkpointing")
        uploads.wait()
    finally:
        uploads.close()
    return progress, life.stopped


def _resumed(training: _Training, folder: Path, total: int) -> tuple[Path | None, Progress, int]:
    if training.resumable is None:
        return None, training.progress, 0
    found = resume(training.resumable, folder, training.config.scoring, training.progress, training.base, total)
    # What this process logged after that checkpoint, it will log again.
    copy_event_files(folder, training.logs)
    return found


def _ended_early(config: Config, progress: Progress, total: int) -> bool:
    """Whether the attempt before came to an early end already; then no step is added to it."""
    rule = config.early_stopping
    if rule is None or not earlystopping.exhausted(rule, progress):
        return False
    if max(progress.evaluations) < total:
        earlystopping.tell(rule)
    return True


def _totals(training: _Training, total: int, warmup: int, predictor: Predictor | None) -> int:
    """Reports what the run will be, before its first step, and says how many steps lie between evaluations."""
    config, parameters = training.config, training.finetune.parameters
    wanted = config.evaluation_every_steps or max(1, total // 10)
    every = min(wanted, total)
    notes = list(training.prepared.notes)
    if wanted > every:
        notes.append(f"evaluation every {wanted} steps was clamped to the run's {total}")
    asked = parameters.warmup_steps
    if asked is not None and asked > warmup:
        notes.append(f"warm-up of {asked} steps was clamped to the run's {total}")
    if predictor is not None:
        notes.append(predictor.note())
    processes, samples = training.ranks.count, samples_of(parameters, training.ranks.count)
    if processes > 1:
        notes.append(
            f"{training.finetune.distribution.strategy}: {processes} processes, so a step is "
            f"{parameters.per_device_train_batch_size} x {processes} x {parameters.gradient_accumulation_steps} = {samples} rows"
        )
    notes.append(f"parameters: {parameters}, warm-up of {warmup} steps")
    for note in notes:
        print(note, flush=True)  # noqa: T201
    reporting.emit(
        {
            "type": "totals",
            "totalSteps": total,
            "evaluationEverySteps": every,
            "requestedEvaluationEverySteps": wanted,
            "processes": processes,
            "samplesPerStep": samples,
            "checkpointEverySteps": (config.checkpoints and config.checkpoints.every_steps) or every,
            "notes": notes,
        }
    )
    return every

"""What a run leaves: a model that plain transformers loads, with its tokenizer, a card, its metrics and a manifest."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainingjob import reporting
from trainingjob.config import Config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune.card import model_card
from trainingjob.finetune.merge import merged, try_out
from trainingjob.finetune.parameters import FineTuneConfig
from trainingjob.finetune.source import Base
from trainingjob.finetune.stages import enter
from trainingjob.keeper import CheckpointKeeper
from trainingjob.progress import Progress
from trainingjob.result import fetch_best
from trainingjob.storage.manifest import MANIFEST, fetch_verified, store_verified

# What going on needs, and using the model does not.
_STATE = (
    "optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "trainer_state.json", "scorer.json", "base.json", "training_args.bin",
    MANIFEST, "README.md",
)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """What is known when the training is over. `base` is the model that it began with."""

    config: Config
    finetune: FineTuneConfig
    base: Base
    tokenizer: Any
    progress: Progress
    keeper: CheckpointKeeper
    dataset: dict[str, Any]


def publish(trained: Trained, uri: str, version: str) -> None:
    """Stores the result and reports where it is.

    Raises:
        TrainingError: exit code 6, when the weights cannot be had, do not work, or cannot be stored.
    """
    with tempfile.TemporaryDirectory(prefix="output-") as name:
        checkpoint, folder = Path(name) / "checkpoint", Path(name) / "output"
        checkpoint.mkdir()
        folder.mkdir()
        step = _fetch(trained, checkpoint)
        _write_model(trained, checkpoint, folder)
        trained.tokenizer.save_pretrained(folder)
        _write_words(trained, step, folder)
        enter("Uploading", uri)
        sha = store_verified(folder, uri, step, version)
    best = trained.progress.tracker.best_step
    metrics = trained.progress.evaluations.get(step, {})
    result = {"type": "result", "output": {"uri": uri, "manifestSHA256": sha}, "metrics": metrics}
    reporting.emit(result | ({} if best is None else {"bestStep": best}))


def _fetch(trained: Trained, folder: Path) -> int:
    """Copies the weights that were asked for, and says their step."""
    if trained.config.output.weights == "Best":
        return fetch_best(trained.progress, trained.keeper, folder)
    step = trained.keeper.steps()[-1]
    fetch_verified(trained.keeper.uri(step), folder)
    return step


def _write_model(trained: Trained, checkpoint: Path, folder: Path) -> None:
    trust = trained.finetune.model.trust_remote_code
    if trained.finetune.lora is not None and trained.config.output.merge:
        enter("Merging", trained.finetune.model.source)
        merged(trained.base.folder, checkpoint, trust_remote_code=trust).save_pretrained(folder)
        try_out(folder, trained.tokenizer, trust_remote_code=trust)
        return
    for file in checkpoint.iterdir():
        if file.name not in _STATE and not file.name.startswith("rng_state"):
            shutil.copyfile(file, folder / file.name)
    if trained.finetune.lora is None:
        try_out(folder, trained.tokenizer, trust_remote_code=trust)
    elif not (folder / "adapter_model.safetensors").is_file():
        raise TrainingError(
            ExitCode.ARTIFACTS, "the checkpoint has no adapter_model.safetensors, so there is no adapter to publish"
        )


def _write_words(trained: Trained, step: int, folder: Path) -> None:
    progress = trained.progress
    evaluations = {str(at): progress.evaluations[at] | _score(progress, at) for at in sorted(progress.evaluations)}
    document = {
        "step": step,
        "bestStep": progress.tracker.best_step,
        "model": {"source": trained.finetune.model.source, "revision": trained.base.commit},
        "dataset": trained.dataset,
        "training_seconds": progress.training_seconds,
        "start": progress.started_at,
        "evaluations": evaluations,
    }
    (folder / "metrics.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "README.md").write_text(model_card(trained.config, trained.finetune, step, document))


def _score(progress: Progress, step: int) -> dict[str, float]:
    return {"score": progress.scores[step]} if step in progress.scores else {}

"""What a run leaves: a model that plain transformers loads, with its tokenizer, a card, its metrics and a manifest."""

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainingjob import __version__, reporting
from trainingjob.config import Config
from trainingjob.exitcodes import ExitCode, TrainingError, naming
from trainingjob.finetune.card import model_card
from trainingjob.finetune.eventfiles import copy_event_files, is_event_file
from trainingjob.finetune.hubpublish import hub_repository
from trainingjob.finetune.hubtarget import SCHEME
from trainingjob.finetune.merge import merged, try_out
from trainingjob.finetune.parameters import FineTuneConfig
from trainingjob.finetune.source import Base
from trainingjob.keeper import CheckpointKeeper
from trainingjob.lineage import versions_of
from trainingjob.progress import Progress
from trainingjob.result import fetch_best
from trainingjob.stages import bytes_in, counting, enter, growing
from trainingjob.storage.address import store_at
from trainingjob.storage.manifest import MANIFEST, fetch_verified, store_verified

# What going on needs, and using the model does not.
_STATE = (
    "optimizer.pt", "optimizer.bin", "pytorch_model_fsdp.bin", "scheduler.pt", "scaler.pt", "trainer_state.json", "scorer.json", "base.json", "training_args.bin",
    MANIFEST, "README.md",
)  # fmt: skip
# Of metrics.json: what the manifest says the model was made of.
_LINEAGE = ("model", "dataset", "method", "parameters", "lora", "quantization", "seed", "versions")
_PACKAGES = ("accelerate", "bitsandbytes", "datasets", "peft", "torch", "transformers", "trl")
_METRICS, _CARD = _WORDS = ("metrics.json", "README.md")


@dataclass(frozen=True)
class Trained:
    """What is known when the training is over. `base` is the model that it began with; in `logs` lie TensorBoard's files."""

    config: Config
    finetune: FineTuneConfig
    base: Base
    tokenizer: Any
    progress: Progress
    keeper: CheckpointKeeper
    dataset: dict[str, Any]
    logs: Path


def publish(trained: Trained, uri: str, version: str) -> None:
    """Stores the result, publishes it where that was asked for, and reports where it is.

    Raises:
        TrainingError: exit code 6, when the weights cannot be had, do not work, or cannot be stored or published.
    """
    with tempfile.TemporaryDirectory(prefix="output-") as name:
        folder = Path(name) / "output"
        folder.mkdir()
        kept = _stored_before(trained, uri, folder)
        step, sha = kept or _store(trained, uri, version, folder)
        output = {"uri": uri, "manifestSHA256": sha} | _at_hub(trained, uri, folder, step)
    best = trained.progress.tracker.best_step
    metrics = trained.progress.evaluations.get(step, {})
    result = {"type": "result", "output": output, "metrics": metrics}
    reporting.emit(result | ({} if best is None else {"bestStep": best}))


def _store(trained: Trained, uri: str, version: str, folder: Path) -> tuple[int, str]:
    """Makes the output in a folder and stores it; says its step and the sum of its manifest."""
    with tempfile.TemporaryDirectory(prefix="checkpoint-") as name:
        step = _fetch(trained, Path(name))
        _write_model(trained, Path(name), folder)
    trained.tokenizer.save_pretrained(folder)
    _write_words(trained, step, folder)
    copy_event_files(trained.logs, folder)
    enter("Uploading", uri)
    # Each byte is sent and read back.
    tell = counting("Uploading", "stored and read back", 2 * bytes_in(folder))
    document = _document(trained, step)
    with naming("spec.output.uri"):
        return step, store_verified(folder, uri, step, version, tell, {name: document[name] for name in _LINEAGE})


def _stored_before(trained: Trained, uri: str, folder: Path) -> tuple[int, str] | None:
    """Fills the folder with what an earlier attempt stored of this very training, which no other has the scores and the seconds
    of. Merged on another machine, weights may differ in their last bits, and would be sent to the Hub again."""
    if trained.config.resume is None:
        return None
    with tempfile.TemporaryDirectory(prefix="words-") as name:
        try:
            manifest = store_at(uri).read(MANIFEST)
            step, sha = int(json.loads(manifest)["step"]), hashlib.sha256(manifest).hexdigest()
            fetch_verified(uri, folder, sha)
            (folder / MANIFEST).write_bytes(manifest)
            _write_words(trained, step, Path(name))
            same = all((folder / file).read_bytes() == (Path(name) / file).read_bytes() for file in _WORDS)
        except (TrainingError, OSError, ValueError, KeyError, TypeError):
            # It is made anew, whatever was wrong with it.
            same = False
    if same:
        return step, sha
    shutil.rmtree(folder)
    folder.mkdir()
    return None


def _at_hub(trained: Trained, uri: str, folder: Path, step: int) -> dict[str, str]:
    target, job = trained.config.output.hugging_face, trained.config.job
    if target is None:
        return {}
    try:
        published = hub_repository(trained.config).publish(folder, f"{job.name}, run {job.run}: step {step}")
    except TrainingError as error:
        raise TrainingError(error.code, f"{error}. The model itself is stored at {uri}") from error
    return {"huggingFaceRevision": published.revision, "huggingFaceURL": published.url}


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
        model = merged(trained.base.folder, checkpoint, trust_remote_code=trust)
        with growing("Merging", "merged weights written", folder):
            model.save_pretrained(folder)
        del model
        enter("Merging", "the merged model is loaded and asked a question")
        try_out(folder, trained.tokenizer, trust_remote_code=trust)
        return
    for file in checkpoint.iterdir():
        if file.name not in _STATE and not file.name.startswith("rng_state") and not is_event_file(file):
            shutil.copyfile(file, folder / file.name)
    if trained.finetune.lora is None:
        try_out(folder, trained.tokenizer, trust_remote_code=trust)
    elif not (folder / "adapter_model.safetensors").is_file():
        raise TrainingError(
            ExitCode.ARTIFACTS, "the checkpoint has no adapter_model.safetensors, so there is no adapter to publish"
        )
    else:
        _name_base(trained, folder / "adapter_config.json")


def _name_base(trained: Trained, file: Path) -> None:
    """A model at the Hub, by its name there and its commit; peft wrote the folder of this pod, which nobody has later."""
    if trained.base.commit is None:
        return
    name = trained.finetune.model.source.removeprefix(SCHEME)
    written = json.loads(file.read_text())
    file.write_text(json.dumps({**written, "base_model_name_or_path": name, "revision": trained.base.commit}, indent=2))


def _write_words(trained: Trained, step: int, folder: Path) -> None:
    document = _document(trained, step)
    (folder / _METRICS).write_text(json.dumps(document, indent=1) + "\n")
    (folder / _CARD).write_text(model_card(trained.config, trained.finetune, step, document))


def _document(trained: Trained, step: int) -> dict[str, Any]:
    progress, finetune = trained.progress, trained.finetune
    evaluations = {str(at): progress.evaluations[at] | _score(progress, at) for at in sorted(progress.evaluations)}
    return {
        "step": step,
        "bestStep": progress.tracker.best_step,
        "model": {"source": finetune.model.source, "revision": trained.base.commit},
        "dataset": {"source": finetune.dataset.source, **trained.dataset},
        "method": finetune.method,
        "parameters": {name: value for name, value in asdict(finetune.parameters).items() if value is not None},
        "lora": None if finetune.lora is None else asdict(finetune.lora),
        "quantization": finetune.quantization,
        "seed": {"split": finetune.dataset.seed, "training": finetune.parameters.seed},
        "versions": versions_of(_PACKAGES, __version__),
        "training_seconds": progress.training_seconds,
        "start": progress.started_at,
        "evaluations": evaluations,
    }


def _score(progress: Progress, step: int) -> dict[str, float]:
    return {"score": progress.scores[step]} if step in progress.scores else {}

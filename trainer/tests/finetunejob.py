"""Fine-tuning jobs on a tiny model that is made here, run in this process."""

import atexit
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.demojob import of_type, read_events
from trainingjob import __version__
from trainingjob.config import parse_config

# Before the libraries are imported, as in a pod; what they keep for later goes with the tests.
_CACHE = tempfile.mkdtemp(prefix="huggingface-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ.update(HF_HOME=_CACHE, HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")

PARAMETERS: dict[str, Any] = {
    "maxSteps": 12,
    "learningRate": "1e-2",
    "perDeviceTrainBatchSize": 4,
    "perDeviceEvalBatchSize": 1,
    "maxLength": 128,
    "loggingSteps": 2,
}
LORA = {"r": 4, "alpha": 8, "dropout": "0.1"}


@dataclass(frozen=True)
class Done:
    """A run that is over."""

    folder: Path
    code: int
    events: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return of_type(self.events, kind)

    def losses(self) -> dict[int, float]:
        return {event["step"]: event["evalLoss"] for event in self.of("evaluation")}

    def stored(self) -> list[int]:
        return sorted(int(path.name.removeprefix("checkpoint-")) for path in (self.folder / "checkpoints").iterdir())


def finetune_config(
    folder: Path,
    model: Path,
    data: Path,
    *,
    lora: Any = LORA,
    parameters: Any = None,
    finetune: Any = None,
    **members: Any,
) -> dict[str, Any]:
    """The configuration that the operator sends; what it stores goes to `folder`."""
    return {
        "trainer": {
            "fineTune": {
                "method": "SFT",
                "model": {"source": model.as_uri()},
                "dataset": {"source": data.as_uri(), "evalSplit": "0.1"},
                "parameters": {**PARAMETERS, **(parameters or {})},
                **({} if lora is None else {"lora": lora}),
                **(finetune or {}),
            }
        },
        "evaluation": {"everySteps": 4},
        "checkpoints": {"keepLast": 1},
        "storage": {"checkpoints": (folder / "checkpoints").as_uri(), "output": (folder / "output").as_uri()},
        "scoring": {"strategy": "MultiMetric"},
        **members,
    }


def run(folder: Path, config: dict[str, Any]) -> Done:
    """Trains in this process."""
    from trainingjob.finetune.train import train

    events = folder / "events.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAININGJOB_EVENTS", str(events))
        code = train(parse_config(config), __version__)
    return Done(folder, code, read_events(events))


def offered(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What the operator offers the next attempt: checkpoints that were verified and not removed, newest first."""
    newest = {event["step"]: event for event in of_type(events, "checkpoint")}
    stored = sorted((event for event in newest.values() if event["verified"]), key=lambda event: -event["step"])
    return {"checkpoints": [{name: event[name] for name in ("uri", "step", "manifestSHA256")} for event in stored]}


def state_of(folder: Path, step: int, file: str) -> Any:
    return json.loads((folder / "checkpoints" / f"checkpoint-{step}" / file).read_text())


class HostLost(Exception):
    """The machine is gone in the middle of a step."""


def lost_at(step: int, folder: Path, config: dict[str, Any]) -> list[dict[str, Any]]:
    """What a run leaves whose host is lost at this step."""
    from trainingjob.finetune.life import Life

    end = Life.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == step:
            raise HostLost
        end(self, args, state, control, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Life, "on_step_end", on_step_end)
        with pytest.raises(HostLost):
            run(folder, config)
    return read_events(folder / "events.jsonl")


def resumed(folder: Path, config: dict[str, Any]) -> Done:
    """The next attempt after whatever is in the folder; its events alone."""
    before = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    (folder / "events.jsonl").unlink()
    return run(folder, {**config, "resume": offered(before)})


def calling(*names: str) -> dict[str, Any]:
    """Members of a job whose trainer calls these classes."""
    return {"finetune": {"callbacks": [{"entryPoint": name} for name in names]}}

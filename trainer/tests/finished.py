"""Tabular runs for tests that look at what they leave."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.demojob import of_type, read_events
from trainingjob import __version__
from trainingjob.config import parse_config
from trainingjob.tabular.train import train


@dataclass(frozen=True)
class Finished:
    """A run that is over."""

    folder: Path
    code: int
    events: list[dict[str, Any]]

    @property
    def evaluations(self):
        return of_type(self.events, "evaluation")

    @property
    def metrics(self):
        return json.loads((self.folder / "output" / "metrics.json").read_text())

    @property
    def lasting_metrics(self):
        return lasting(self.metrics)

    @property
    def stored_checkpoints(self):
        return sorted(int(path.name.removeprefix("checkpoint-")) for path in (self.folder / "checkpoints").iterdir())


def lasting(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics without what no two runs have in common."""
    found = {name: value for name, value in metrics.items() if name not in ("training_seconds", "start", "end")}
    return {**found, "dataset": {name: value for name, value in metrics["dataset"].items() if name != "source"}}


def run(folder: Path, config: dict[str, Any]) -> Finished:
    """Trains in this process."""
    events = folder / "events.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAININGJOB_EVENTS", str(events))
        code = train(parse_config(config), __version__)
    return Finished(folder, code, read_events(events))

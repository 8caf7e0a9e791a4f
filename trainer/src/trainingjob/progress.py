"""What a run knows besides its model. It travels in every checkpoint, so that another attempt goes on as if nothing happened."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainingjob.scoring.best import BestTracker, Scoring
from trainingjob.storage.manifest import Damaged

SCORER_FILE = "scorer.json"


def utc(moment: datetime) -> str:
    """As Kubernetes writes times: whole seconds, with a Z."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass
class Progress:
    """`evaluations` holds the metrics of each evaluation so far by step, `scores` those that could be scored. `started_at` is when
    the run's first attempt began to train, `training_seconds` how long all of them trained up to here, `devices` on what, one after
    the other; a trainer that does not tell has none. `ended`: no step follows, though more were planned; it was not a stop from outside."""

    tracker: BestTracker
    dataset_sha256: str
    started_at: str = field(default_factory=lambda: utc(datetime.now(UTC)))
    training_seconds: float = 0.0
    evaluations: dict[int, dict[str, float]] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    ended: bool = False

    def trained_on(self, device: str) -> None:
        if self.devices[-1:] != [device]:
            self.devices.append(device)

    def write(self, folder: Path) -> None:
        document = {
            "bestStep": self.tracker.best_step,
            "bestScore": self.tracker.best_score,
            "previousEvalLoss": self.tracker.previous_eval_loss,
            "datasetSHA256": self.dataset_sha256,
            "startedAt": self.started_at,
            "trainingSeconds": self.training_seconds,
            "evaluations": self.evaluations,
            "scores": self.scores,
            "devices": self.devices,
            "ended": self.ended,
        }
        (folder / SCORER_FILE).write_text(json.dumps(document) + "\n")


def read_progress(folder: Path, scoring: Scoring, dataset_sha256: str) -> Progress:
    """Reads the progress of a checkpoint that a run over these data and with this scoring stored.

    Raises:
        Damaged: when it is not there, cannot be read, or is of other data: rows that were trained on could be held out now.
    """
    try:
        document: dict[str, Any] = json.loads((folder / SCORER_FILE).read_text())
        tracker = BestTracker(
            scoring, document["bestStep"], document["bestScore"], previous_eval_loss=document["previousEvalLoss"]
        )
        found = Progress(
            tracker=tracker,
            dataset_sha256=document["datasetSHA256"],
            started_at=str(document["startedAt"]),
            training_seconds=float(document["trainingSeconds"]),
            evaluations={int(step): metrics for step, metrics in document["evaluations"].items()},
            scores={int(step): float(score) for step, score in document["scores"].items()},
            devices=[str(device) for device in document.get("devices", [])],
            ended=bool(document.get("ended", False)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{SCORER_FILE} cannot be used: {error!r}") from error
    if found.dataset_sha256 != dataset_sha256:
        raise Damaged("the data have changed since; rows that it was trained on could be held out now")
    return found

"""Runs that are interrupted, and the attempts that go on from what they left."""

from pathlib import Path
from typing import Any

import pytest

from tests.demojob import of_type, read_events
from tests.finished import Finished, run
from trainingjob.tabular.families.family import family_module


class Interrupted(Exception):
    """The host fails in the middle of a round."""


def interrupted(
    folder: Path, config: dict[str, Any], at: int, *, requests: tuple[int, ...] = (), family: str = "xgboost"
) -> Finished:
    """What a run leaves that ends in round `at`, after it was asked for checkpoints in the rounds `requests`."""
    module: Any = family_module(family)
    boosting: Any = module.Training if family == "keras" else module.Boosting
    whole = boosting.advance
    wanted = folder / "checkpoint-request"

    def advance(model, to):
        if to >= at:
            raise Interrupted
        whole(model, to)
        if to in requests:
            wanted.write_text(f"request-{to}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "advance", advance)
        patch.setenv("TRAININGJOB_CHECKPOINT", str(wanted))
        with pytest.raises(Interrupted):
            run(folder, config)
    return Finished(folder, 1, read_events(folder / "events.jsonl"))


def verified(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the operator offers the next attempt: checkpoints that were verified and not removed, newest first."""
    reported: dict[int, dict[str, Any]] = {}
    for event in of_type(events, "checkpoint"):
        reported[event["step"]] = event
    stored = [event for event in reported.values() if event["verified"]]
    return [
        {name: event[name] for name in ("uri", "step", "manifestSHA256")}
        for event in sorted(stored, key=lambda event: -event["step"])
    ][:8]


def resumed(before: Finished, config: dict[str, Any]) -> Finished:
    """The next attempt in the same folder; its events alone."""
    offered = verified(before.events)
    (before.folder / "events.jsonl").unlink()
    return run(before.folder, {**config, "resume": {"checkpoints": offered}})

"""Going on from a checkpoint of an earlier attempt: the first that is still what it was."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainingjob import reporting
from trainingjob.exitcodes import naming
from trainingjob.fields import Fields, invalid, shown
from trainingjob.storage.manifest import Damaged, fetch_verified

RESUME = "TRAININGJOB_RESUME"
# What the operator takes in one event; it offers no more either.
MOST_CHECKPOINTS = 8


@dataclass(frozen=True)
class Resumable:
    """A checkpoint that was verified once."""

    uri: str
    step: int
    manifest_sha256: str


def parse_resume(value: Any) -> tuple[Resumable, ...] | None:
    """Parses `resume`, newest first; None for a run that begins. Raises TrainingError with exit code 2."""
    if value is None:
        return None
    fields = Fields(value, "resume")
    entries = fields.require("checkpoints")
    fields.close()
    if not isinstance(entries, list):
        raise invalid(f"resume.checkpoints: must be a list, not {shown(entries)}")
    if len(entries) > MOST_CHECKPOINTS:
        raise invalid(
            f"resume.checkpoints: must be at most {MOST_CHECKPOINTS}, not {len(entries)}; leave the oldest out"
        )
    return tuple(_resumable(entry, f"resume.checkpoints[{index}]") for index, entry in enumerate(entries))


def resume_member(checkpoints: tuple[Resumable, ...]) -> dict[str, Any]:
    """The member `resume` of a configuration that goes on from these, newest first."""
    return {
        "checkpoints": [
            {"uri": each.uri, "step": each.step, "manifestSHA256": each.manifest_sha256} for each in checkpoints
        ]
    }


def _resumable(value: Any, where: str) -> Resumable:
    fields = Fields(value, where)
    found = Resumable(
        uri=fields.text("uri"), step=fields.integer("step", least=0), manifest_sha256=fields.text("manifestSHA256")
    )
    fields.close()
    return found


def take_first_good(
    checkpoints: tuple[Resumable, ...], folder: Path, fits: Callable[[Resumable], None] = lambda _: None
) -> Resumable | None:
    """Fills `folder` with the files of the first checkpoint that verifies, and reports which it is and which were passed over.

    Args:
        checkpoints: Newest first.
        folder: Is emptied before each try.
        fits: Raises Damaged when what lies in the folder cannot be used after all.

    Returns:
        None when none is good; then the run begins at the start.

    Raises:
        TrainingError: exit code 6 when storage does not answer: a good checkpoint may be there, so nothing is begun anew.
    """
    taken: Resumable | None = None
    rejected: list[dict[str, str]] = []
    for checkpoint in checkpoints:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            with naming("spec.checkpoints.uri"):
                fetch_verified(checkpoint.uri, folder, checkpoint.manifest_sha256)
            fits(checkpoint)
        except Damaged as error:
            rejected.append({"uri": checkpoint.uri, "reason": str(error)[:1000]})
            continue
        taken = checkpoint
        break
    found = {"step": 0, "uri": None} if taken is None else {"step": taken.step, "uri": taken.uri}
    reporting.emit({"type": "resumed", **found, "rejected": rejected})
    return taken

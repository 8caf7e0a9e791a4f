"""What is known of a search: its finished trials. It travels in every checkpoint, so that another attempt goes on with them."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainingjob.storage.manifest import Damaged
from trainingjob.tabular.search.parameters import SearchConfig

SEARCH_FILE = "search.json"
State = Literal["Complete", "Pruned", "Failed"]


@dataclass(frozen=True)
class Trial:
    """One trial, numbered from 1. `score` is that of its best round, lower is better, and `metrics` are those of that round; both
    are absent where no model came of it. `rounds` is how many its model has. `reported` are its scores by evaluation, numbered
    from 1, and `kept` is what the pruner remembers."""

    number: int
    state: State
    parameters: dict[str, Any]
    seconds: float
    rounds: int = 0
    score: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    reported: dict[int, float] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)


def search_document(search: SearchConfig, trials: list[Trial]) -> dict[str, Any]:
    """The content of search.json."""
    return {**_asked(search), "trials": [asdict(trial) for trial in trials]}


def write_search(folder: Path, search: SearchConfig, trials: list[Trial], **more: Any) -> None:
    """Writes search.json into a folder; `more` are further members."""
    text = json.dumps({**search_document(search, trials), **more}, indent=1, ensure_ascii=False)
    (folder / SEARCH_FILE).write_text(text + "\n", encoding="utf-8")


def read_trials(folder: Path, search: SearchConfig) -> list[Trial]:
    """The trials of a checkpoint that the same search stored.

    Raises:
        Damaged: when there are none, or they are of another search.
    """
    document = _document(folder)
    if {name: document.get(name) for name in _asked(search)} != _asked(search):
        raise Damaged(f"{SEARCH_FILE} is of another search")
    try:
        found = [_trial(entry) for entry in document["trials"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"{SEARCH_FILE} cannot be used: {error!r}") from error
    if [trial.number for trial in found] != list(range(1, len(found) + 1)):
        raise Damaged(f"{SEARCH_FILE} lacks trials")
    return found


def read_evaluations(folder: Path) -> dict[int, dict[str, float]]:
    """The evaluations of the checkpoint's own trial, by round.

    Raises:
        Damaged: when they cannot be read.
    """
    try:
        return {int(step): dict(metrics) for step, metrics in _document(folder)["evaluations"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"{SEARCH_FILE} cannot be used: {error!r}") from error


def _asked(search: SearchConfig) -> dict[str, Any]:
    return {
        "sampler": search.sampler,
        "pruner": search.pruner,
        "seed": search.seed,
        "space": [dimension.document() for dimension in search.space],
    }


def _document(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / SEARCH_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Damaged(f"{SEARCH_FILE} cannot be used: {error!r}") from error
    if not isinstance(document, dict):
        raise Damaged(f"{SEARCH_FILE} holds no object")
    return document


def _trial(entry: dict[str, Any]) -> Trial:
    reported = {int(place): float(score) for place, score in entry["reported"].items()}
    return Trial(**{**entry, "reported": reported})

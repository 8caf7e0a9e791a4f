"""The end of a run, kept in storage before it is reported: a restarted container reports again instead of training again."""

import json
from dataclasses import dataclass
from typing import Any

from trainingjob.agent.spool import Snapshot
from trainingjob.config import Config
from trainingjob.exitcodes import TrainingError
from trainingjob.storage.address import store_at

_FILE = "final.json"


@dataclass(frozen=True)
class StoredFinal:
    """`waiting` is what the operator had not acknowledged, the final report with it."""

    attempt: int
    exit_code: int
    waiting: Snapshot


def store_final(config: Config, final: dict[str, Any], waiting: Snapshot) -> str | None:
    """Writes the final report and all that was not acknowledged. Returns why that failed, or None."""
    uri = _uri(config)
    if uri is None:
        return None
    document = {**_key(config), "attempt": config.job.attempt, "final": final, "waiting": waiting}
    try:
        store_at(uri).write(_FILE, json.dumps(document).encode())
    except (OSError, TrainingError) as error:
        return f"{uri}/{_FILE} cannot be written: {error}"
    return None


def stored_final(config: Config) -> StoredFinal | None:
    """The final report of this very run; None when there is none.

    Another run's, another specification's, or an unreadable one is no report of this run. What failed in an earlier attempt
    may be tried again; what succeeded is done.
    """
    uri = _uri(config)
    if uri is None:
        return None
    try:
        document = json.loads(store_at(uri).read(_FILE))
        same = {name: document[name] for name in _key(config)} == _key(config)
        final, waiting, attempt = document["final"], document["waiting"], document["attempt"]
        outcome, exit_code = str(final["outcome"]), int(final["exitCode"])
        snapshot = {name: waiting[name] for name in ("session", "acknowledged", "batches")}
    except (OSError, ValueError, KeyError, TypeError, TrainingError):
        return None
    if not same or (outcome != "Succeeded" and attempt != config.job.attempt):
        return None
    return StoredFinal(attempt=attempt, exit_code=exit_code, waiting=snapshot)


def _uri(config: Config) -> str | None:
    return config.storage.output or config.storage.checkpoints


def _key(config: Config) -> dict[str, Any]:
    return {"uid": config.job.uid, "run": config.job.run, "specHash": config.job.spec_hash}

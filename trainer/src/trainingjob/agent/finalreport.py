"""The end of a run, kept in storage before it is reported: a restarted container reports again instead of training again."""

import json
from typing import Any

from trainingjob.config import Config
from trainingjob.storage.folder import local_path, write_file

_FILE = "final.json"


def store_final(config: Config, final: dict[str, Any], unacknowledged: list[dict[str, Any]]) -> str | None:
    """Writes the final report and the events that were not acknowledged. Returns why that failed, or None."""
    uri = _uri(config)
    if uri is None:
        return None
    document = {**_key(config), "attempt": config.job.attempt, "final": final, "events": unacknowledged}
    try:
        write_file(local_path(uri) / _FILE, json.dumps(document).encode())
    except OSError as error:
        return f"{uri}/{_FILE} cannot be written: {error}"
    return None


def stored_final(config: Config) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """The final report of this very run, with the events that were not acknowledged; None when there is none.

    Another run's, another specification's, or an unreadable one is no report of this run. What failed in an earlier attempt
    may be tried again; what succeeded is done.
    """
    uri = _uri(config)
    if uri is None:
        return None
    try:
        document = json.loads((local_path(uri) / _FILE).read_text())
        same = {name: document[name] for name in _key(config)} == _key(config)
        final, events, attempt = document["final"], document["events"], document["attempt"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not same or not isinstance(final, dict) or not isinstance(events, list):
        return None
    return (final, events) if final.get("outcome") == "Succeeded" or attempt == config.job.attempt else None


def _uri(config: Config) -> str | None:
    return config.storage.output or config.storage.checkpoints


def _key(config: Config) -> dict[str, Any]:
    return {"uid": config.job.uid, "run": config.job.run, "specHash": config.job.spec_hash}

"""Manifests: what a stored folder must hold, by size and SHA-256, so that anyone can prove that it is whole."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainingjob.disk import disk_full
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.storage.address import store_at
from trainingjob.storage.store import Digest, StorageError, Store, Tell, tell_nobody

MANIFEST = "manifest.json"


class Damaged(TrainingError):
    """What is stored is not what was stored once. Exit code 6."""

    def __init__(self, message: str) -> None:
        super().__init__(ExitCode.ARTIFACTS, message)


def store_verified(
    source: Path,
    uri: str,
    step: int,
    version: str,
    tell: Tell = tell_nobody,
    lineage: Mapping[str, Any] | None = None,
) -> str:
    """Stores a folder with its manifest, reads every file back and compares. `tell` hears of each file's bytes twice: as they are
    sent, and when they have been read back. `lineage` says in the manifest what the folder was made of.

    Returns:
        SHA-256 of the manifest, in hexadecimal.

    Raises:
        TrainingError: exit code 6 when storage fails, or gives back something else than was written.
    """
    files = [path for path in sorted(source.iterdir()) if path.name != MANIFEST]
    manifest = {
        "files": [{"path": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)} for path in files],
        "step": step,
        "createdAt": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "trainerVersion": version,
        **({} if lineage is None else {"lineage": lineage}),
    }
    (source / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    store = store_at(uri)
    try:
        # The manifest last: a folder that has one was whole.
        for path in [*files, source / MANIFEST]:
            store.upload(path, path.name, tell)
    except OSError as error:
        hint = "" if isinstance(error, StorageError) else "; check the volume's free space and rights"
        raise TrainingError(ExitCode.ARTIFACTS, f"{uri} cannot be written: {error}{hint}") from error
    sha = sha256(source / MANIFEST)
    verify(uri, sha, tell)
    return sha


def verify(uri: str, manifest_sha256: str | None = None, tell: Tell = tell_nobody) -> None:
    """Reads every file that the manifest at `uri` names, and compares size and SHA-256; the manifest's own when it is known.

    Raises:
        Damaged: naming the first file that differs or is missing.
        TrainingError: exit code 6 when storage does not answer, which says nothing of what is stored.
    """
    store = store_at(uri)
    for name, wanted in _files(store, uri, manifest_sha256):
        with _reading(uri):
            found = store.digest(name)
        _compare(f"{uri}/{name}", found, wanted)
        tell(found.bytes)


def fetch_verified(uri: str, folder: Path, manifest_sha256: str | None = None) -> None:
    """Copies what the manifest at `uri` names to a folder, and compares what arrived. Raises as `verify` does."""
    store = store_at(uri)
    for name, wanted in _files(store, uri, manifest_sha256):
        path = folder / name
        with _reading(uri):
            store.download(name, path)
            found = Digest(bytes=path.stat().st_size, sha256=sha256(path))
        _compare(f"{uri}/{name}", found, wanted)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(store: Store, uri: str, manifest_sha256: str | None) -> list[tuple[str, Digest]]:
    with _reading(uri):
        content = store.read(MANIFEST)
    if manifest_sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise Damaged(f"{uri}/{MANIFEST} reads back with other content than was written")
    try:
        files = [
            (str(file["path"]), Digest(bytes=file["bytes"], sha256=file["sha256"]))
            for file in json.loads(content)["files"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{uri}/{MANIFEST} is no manifest: {error!r}") from error
    # A name is a name: one with a path in it would be written beside the folder that it is copied to.
    wrong = next((name for name, _ in files if Path(name).name != name), None)
    if wrong is not None:
        raise Damaged(f"{uri}/{MANIFEST} is no manifest: {wrong!r} is no file's name")
    return files


@contextmanager
def _reading(uri: str) -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise TrainingError(ExitCode.ARTIFACTS, f"{uri} cannot be read back: {error}") from error
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise Damaged(f"{uri} cannot be read back: {error}") from error
    except OSError as error:
        # Whether it is whole is not known: what is not known to be damaged is neither passed over nor removed (promise 3).
        raise disk_full(error) or TrainingError(ExitCode.ARTIFACTS, f"{uri} cannot be read back: {error}") from error


def _compare(where: str, found: Digest, wanted: Digest) -> None:
    if found != wanted:
        raise Damaged(f"{where} reads back with other content than was written")

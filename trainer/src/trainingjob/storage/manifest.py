"""Manifests: what a stored folder must hold, by size and SHA-256, so that anyone can prove that it is whole."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.storage.folder import local_path, publish_folder

MANIFEST = "manifest.json"


def store_verified(source: Path, uri: str, step: int, version: str) -> str:
    """Stores a folder with its manifest, reads every file back and compares.

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
    }
    (source / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    publish_folder(source, uri)
    verify(uri)
    stored = sha256(local_path(uri) / MANIFEST)
    if stored != sha256(source / MANIFEST):
        raise TrainingError(ExitCode.ARTIFACTS, f"{uri}/{MANIFEST} reads back with other content than was written")
    return stored


def verify(uri: str) -> None:
    """Reads every file that the manifest at `uri` names and compares size and SHA-256.

    Raises:
        TrainingError: exit code 6, naming the first file that differs.
    """
    folder = local_path(uri)
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for entry in manifest["files"]:
            path = folder / entry["path"]
            if path.stat().st_size != entry["bytes"] or sha256(path) != entry["sha256"]:
                raise TrainingError(
                    ExitCode.ARTIFACTS, f"{uri}/{entry['path']} reads back with other content than was written"
                )
    except OSError as error:
        raise TrainingError(ExitCode.ARTIFACTS, f"{uri} cannot be read back: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(ExitCode.ARTIFACTS, f"{uri}/{MANIFEST} is no manifest: {error!r}") from error


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

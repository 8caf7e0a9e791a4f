"""Folders by URI. In this version `file://`, a path in the pod, as a rule on its network volume."""

import os
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import invalid

FILE_ROOT = "TRAININGJOB_FILE_ROOT"


def local_path(uri: str) -> Path:
    """The path that a `file://` URI means here, below TRAININGJOB_FILE_ROOT when that is set.

    Raises:
        TrainingError: exit code 2, for another scheme, a host, or a path that climbs out.
    """
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.startswith("/"):
        raise invalid(f"{uri}: only file:/// addresses can be used here; write file:///volume/…")
    if ".." in Path(path).parts or "\0" in path:
        raise invalid(f"{uri}: must not contain '..' or %00")
    if parts.query or parts.fragment:
        raise invalid(f"{uri}: must not contain '?' or '#'; write %3F or %23 where a name has one")
    root = os.environ.get(FILE_ROOT, "")
    return Path(root + path) if root else Path(path)


def write_file(path: Path, content: bytes) -> None:
    """Writes a file so that after a crash it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        # On a full disk half a file would take the room that is left.
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def publish_folder(source: Path, uri: str) -> Path:
    """Copies a folder's files to a URI, replacing what is there in one step per file, and syncs them to disk.

    Raises:
        TrainingError: exit code 6 when storage cannot be written; it says where and why.
    """
    target = local_path(uri)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted(source.iterdir()):
            write_file(target / file.name, file.read_bytes())
    except OSError as error:
        raise TrainingError(
            ExitCode.ARTIFACTS, f"{uri} cannot be written: {error}; check the volume's free space and rights"
        ) from error
    return target


def remove_folder(uri: str) -> None:
    """Removes a folder and all in it; nothing happens when it is not there."""
    shutil.rmtree(local_path(uri), ignore_errors=True)


def check_writable(uri: str) -> None:
    """Raises TrainingError with exit code 7 when nothing can be written at this URI."""
    folder = local_path(uri)
    probe = folder / ".write-test"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_file(probe, b"ok")
        probe.unlink()
    except OSError as error:
        raise TrainingError(
            ExitCode.PREFLIGHT, f"{uri} cannot be written: {error}; mount the network volume at the URI's path"
        ) from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""A folder in the pod, as a rule on its network volume, by a `file://` URI."""

import hashlib
import os
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trainingjob.fields import invalid
from trainingjob.storage.store import Digest, Tell, tell_nobody

FILE_ROOT = "TRAININGJOB_FILE_ROOT"
_CHUNK_BYTES = 1024 * 1024


class Folder:
    """A folder as a store."""

    def __init__(self, uri: str) -> None:
        self._path = local_path(uri)

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        write_file(self._path / name, content)

    def upload(self, path: Path, name: str, tell: Tell = tell_nobody) -> None:
        write_file(self._path / name, path, tell)

    def download(self, name: str, path: Path) -> None:
        shutil.copyfile(self._path / name, path)

    def digest(self, name: str) -> Digest:
        with (self._path / name).open("rb") as file:
            return Digest(bytes=os.fstat(file.fileno()).st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())

    def folders(self) -> list[str]:
        return sorted(path.name for path in self._path.iterdir() if path.is_dir()) if self._path.is_dir() else []

    def remove(self, name: str) -> None:
        path = self._path / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def local_path(uri: str) -> Path:
    """The path that a `file://` URI means here, below TRAININGJOB_FILE_ROOT when that is set.

    Raises:
        TrainingError: exit code 2, for another scheme, a host, or a path that climbs out.
    """
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.startswith("/"):
        raise invalid(
            f"{uri}: only file:/// and s3:// addresses can be used here; write file:///volume/… or s3://bucket/…"
        )
    if ".." in Path(path).parts or "\0" in path:
        raise invalid(f"{uri}: must not contain '..' or %00")
    if parts.query or parts.fragment:
        raise invalid(f"{uri}: must not contain '?' or '#'; write %3F or %23 where a name has one")
    root = os.environ.get(FILE_ROOT, "")
    return Path(root + path) if root else Path(path)


def write_file(path: Path, content: bytes | Path, tell: Tell = tell_nobody) -> None:
    """Writes a file, from bytes or from another file, so that after a crash it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                with content.open("rb") as source:
                    while chunk := source.read(_CHUNK_BYTES):
                        file.write(chunk)
                        tell(len(chunk))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        # On a full disk half a file would take the room that is left.
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

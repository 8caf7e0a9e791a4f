"""From an address to the storage that it names."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import invalid
from trainingjob.storage.folder import Folder, local_path
from trainingjob.storage.s3settings import SCHEME, environment_of
from trainingjob.storage.store import StorageError, Store

_PROBE = ".write-test"


def store_at(uri: str, opened_as: str | None = None) -> Store:
    """The store at a `file://` or `s3://` URI. `opened_as`: the address whose key opens it, where that is another.

    Raises:
        TrainingError: exit code 2 when the URI, or the settings that it needs, cannot be used.
    """
    if not uri.startswith(SCHEME):
        return Folder(uri)
    try:
        # Imported here: only what stores to S3 needs its library.
        from trainingjob.storage.s3 import Bucket
    except ImportError as error:
        raise invalid(f"{uri}: needs boto3, which is not in this image; install trainingjob[s3]") from error
    return Bucket(uri, environment_of(opened_as or uri, os.environ))


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """A path at which one file can be read: its own, or that of a copy, which goes with the context."""
    if not uri.startswith(SCHEME):
        yield local_path(uri)
        return
    parent, _, name = uri.rpartition("/")
    with tempfile.TemporaryDirectory(prefix="download-") as folder:
        path = Path(folder) / (name or "file")
        store_at(parent, opened_as=uri).download(name, path)
        yield path


def check_writable(uri: str) -> None:
    """Writes and removes a small file.

    Raises:
        TrainingError: exit code 7 for a folder, which another pod may have; exit code 6 for a bucket, which is the same
            from everywhere.
    """
    try:
        store = store_at(uri)
        store.write(_PROBE, b"ok")
        store.remove(_PROBE)
    except StorageError as error:
        raise TrainingError(ExitCode.ARTIFACTS, f"{uri} cannot be written: {error}") from error
    except OSError as error:
        raise TrainingError(
            ExitCode.PREFLIGHT, f"{uri} cannot be written: {error}; mount the network volume at the URI's path"
        ) from error

"""From an address to the storage that it names."""

import os

from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import invalid
from trainingjob.storage.folder import Folder
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

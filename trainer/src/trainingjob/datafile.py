"""The file that a run's data are in, wherever it lies."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trainingjob.datasource import HTTPS, HUB, S3, DataSource
from trainingjob.disk import disk_full
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import invalid
from trainingjob.https import download
from trainingjob.stages import enter, growing
from trainingjob.storage.address import store_at
from trainingjob.storage.folder import local_path
from trainingjob.storage.manifest import sha256
from trainingjob.storage.store import StorageError


@dataclass(frozen=True)
class DataFile:
    """Where it can be read, the sum of its bytes, and of one at the Hub the commit."""

    path: Path
    sha256: str
    revision: str | None = None


def bad_data(message: str) -> TrainingError:
    """Data that cannot be trained on, exit code 3."""
    return TrainingError(ExitCode.DATA, message)


@contextmanager
def data_file(data: DataSource) -> Iterator[DataFile]:
    """A file for as long as the block runs, which does nothing but read it; that of a folder itself, or a copy on the container's disk.

    Raises:
        TrainingError: exit code 3, when the file is missing, refused, cannot be read, or has another sum than the job says; exit
            code 6, when the place where it lies does not answer, which may pass. So do failures to read it in the block.
    """
    with reading(data), kept_file(data) as found:
        yield found


@contextmanager
def kept_file(data: DataSource) -> Iterator[DataFile]:
    """As `data_file`, for a block that does more than read it: what fails there is not taken for a fault of the data."""
    with tempfile.TemporaryDirectory(prefix="download-") as name:
        with reading(data):
            path, revision = _fetched(data, Path(name))
            if not path.is_file():
                raise FileNotFoundError(path)
            found = DataFile(path, sha256(path), revision)
            _check_sum(data, found.sha256)
        yield found


@contextmanager
def reading(data: DataSource) -> Iterator[None]:
    """Failures to read data, in the words and with the exit code of `data_file`."""
    source = data.source
    try:
        yield
    except FileNotFoundError as error:
        place = "into the bucket" if source.startswith(S3) else "on the network volume"
        raise bad_data(f"{source} is not there; put the file {place}, or correct {data.named_by}") from error
    except StorageError as error:
        message = f"{source} cannot be read: {error}"
        raise TrainingError(ExitCode.DATA if error.lasting else ExitCode.ARTIFACTS, message) from error
    except OSError as error:
        raise disk_full(error) or bad_data(f"{source} cannot be read: {error}") from error


def _fetched(data: DataSource, folder: Path) -> tuple[Path, str | None]:
    source, path = data.source, folder / "file"
    if source.startswith(HTTPS):
        enter("Downloading", source)
        download(data, path)
        return path, None
    if source.startswith(S3):
        parent, _, name = source.rpartition("/")
        enter("Downloading", source)
        with growing("Downloading", source, folder):
            store_at(parent, opened_as=source).download(name, path)
        return path, None
    if source.startswith(HUB):
        try:
            # Imported here: only what reads from the Hub needs its library.
            from trainingjob.hub.download import file_at_hub
        except ImportError as error:
            raise invalid(f"{source}: needs huggingface-hub, which is not in this image; install it") from error
        enter("Downloading", source)
        found = file_at_hub(data)
        return found.path, found.commit
    return local_path(source), None


def _check_sum(data: DataSource, found: str) -> None:
    if data.sha256 not in (None, found):
        raise bad_data(
            f"{data.source} has the SHA-256 {found}, and {data.where}.sha256 wants {data.sha256}; correct the one or the other"
        )

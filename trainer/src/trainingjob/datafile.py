"""The file that a run's data are in, wherever it lies."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.storage.address import local_copy
from trainingjob.storage.store import StorageError


def bad_data(message: str) -> TrainingError:
    """Data that cannot be trained on, exit code 3."""
    return TrainingError(ExitCode.DATA, message)


@contextmanager
def data_file(
    source: str, named_by: str, fetch: Callable[[str], AbstractContextManager[Path]] = local_copy
) -> Iterator[Path]:
    """A path at which the file can be read.

    Args:
        source: Its address.
        named_by: What a person corrects where it is not there.
        fetch: Brings the file here.

    Raises:
        TrainingError: exit code 3, when the file is missing or cannot be read; exit code 6, when storage does not answer, which
            may pass. So do failures to read it in the block.
    """
    place = "into the bucket" if source.startswith("s3://") else "on the network volume"
    missing = bad_data(f"{source} is not there; put the file {place}, or correct {named_by}")
    try:
        with fetch(source) as path:
            if not path.is_file():
                raise missing
            yield path
    except FileNotFoundError as error:
        raise missing from error
    except StorageError as error:
        message = f"{source} cannot be read: {error}"
        raise TrainingError(ExitCode.DATA if error.lasting else ExitCode.ARTIFACTS, message) from error
    except OSError as error:
        raise bad_data(f"{source} cannot be read: {error}") from error

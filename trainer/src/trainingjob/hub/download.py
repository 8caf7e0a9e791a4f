"""Models and data at the Hugging Face Hub, by `hf://` addresses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from trainingjob.datafile import bad_data
from trainingjob.datasource import DataSource
from trainingjob.disk import disk_full
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import invalid
from trainingjob.finetune.hubtarget import SCHEME
from trainingjob.hub.calls import hub_address, persistently, words_of
from trainingjob.stages import growing

# What a causal language model of transformers is made of; other frameworks' weights may be many times as large.
_WANTED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py")


@dataclass(frozen=True)
class Found:
    """Where something lies on this machine, and the commit that it is of."""

    path: Path
    commit: str


def model_at_hub(source: str, revision: str | None) -> Found:
    """Downloads a model, `hf://OWNER/NAME`.

    Raises:
        TrainingError: exit code 2, when there is no such model or it is not for us; exit code 6, when the Hub does not answer.
    """
    where = "trainer.fineTune.model"
    repo = source.removeprefix(SCHEME)
    with _asking(source, where, invalid), growing("Downloading", source, Path(HF_HUB_CACHE)):
        commit = persistently(lambda: _commit(repo, "model", revision))
        folder = persistently(
            lambda: snapshot_download(repo, revision=commit, allow_patterns=list(_WANTED), endpoint=hub_address())
        )
    return Found(Path(folder), commit)


def file_at_hub(data: DataSource) -> Found:
    """Downloads a file of a data set, `hf://OWNER/NAME/PATH`.

    Raises:
        TrainingError: exit code 3, when there is no such file or it is not for us; exit code 6, when the Hub does not answer.
    """
    source = data.source
    owner, _, rest = source.removeprefix(SCHEME).partition("/")
    name, _, path = rest.partition("/")
    repo, hub = f"{owner}/{name}", hub_address()
    if not path:
        raise bad_data(f"{data.named_by}: {source} names no file; write hf://OWNER/NAME/FILE")
    with _asking(source, data.where, bad_data), growing("Downloading", source, Path(HF_HUB_CACHE)):
        commit = persistently(lambda: _commit(repo, "dataset", data.revision))
        file = persistently(lambda: hf_hub_download(repo, path, repo_type="dataset", revision=commit, endpoint=hub))
    return Found(Path(file), commit)


def _commit(repo: str, kind: str, revision: str | None) -> str:
    found = HfApi(hub_address()).repo_info(repo, repo_type=kind, revision=revision).sha
    if found is None:
        raise OSError("it gave no commit")
    return str(found)


@contextmanager
def _asking(source: str, where: str, refused: Callable[[str], TrainingError]) -> Iterator[None]:
    try:
        yield
    except GatedRepoError as error:
        raise refused(
            f"{where}.source: {source} is gated: accept its terms at the Hub, and set HF_TOKEN in spec.trainer.env"
        ) from error
    except RepositoryNotFoundError as error:
        raise refused(
            f"{where}.source: {source} is not at the Hub, or private; correct it, or set HF_TOKEN in spec.trainer.env"
        ) from error
    except RevisionNotFoundError as error:
        raise refused(
            f"{where}.revision: {source} has no such revision; write a commit, a branch or a tag of it"
        ) from error
    except LocalEntryNotFoundError as error:
        # The library looked at what it has here after the Hub did not answer.
        cause = error.__cause__ or error
        raise disk_full(cause) or _away(source, cause) from error
    except EntryNotFoundError as error:
        raise refused(f"{where}.source: there is no such file: {source}") from error
    except HFValidationError as error:
        raise refused(f"{where}.source: {source}: {error}; write hf://OWNER/NAME") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status not in (401, 403):
            raise _away(source, error) from error
        raise refused(
            f"{where}.source: {source} is refused by the Hub with {status}; set HF_TOKEN in spec.trainer.env to a token that is "
            "good and may read it, or leave it out where everybody may"
        ) from error
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        # An answer that is no JSON; Xet has no kinds of errors.
        raise disk_full(error) or _away(source, error) from error


def _away(source: str, error: BaseException) -> TrainingError:
    return TrainingError(ExitCode.ARTIFACTS, f"{source} cannot be read from the Hub: {words_of(error)}")

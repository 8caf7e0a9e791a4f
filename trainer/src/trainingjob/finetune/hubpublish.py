"""Publishing at the Hugging Face Hub: every file of the output in one commit, which is compared with the manifest afterwards."""

import fnmatch
import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils._runtime import is_xet_available

from trainingjob.config import Config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import invalid
from trainingjob.finetune.hubprogress import CountedFile, Sending, xet_counted
from trainingjob.finetune.hubtarget import HubTarget, token_of
from trainingjob.hub.calls import Refused, Unanswered, hub_address, patiently
from trainingjob.stages import enter
from trainingjob.storage.manifest import MANIFEST, sha256

T = TypeVar("T")

_FIELD = "spec.output.huggingFace"
# Beside other weights, these would be loaded instead of them or with them. Earlier commits keep what they had.
_OF_A_MODEL = (
    "*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", "adapter_config.json",
)  # fmt: skip


@dataclass(frozen=True)
class Published:
    """The commit that holds the model, and the repository's address."""

    revision: str
    url: str


class HubRepository:
    """A repository of models that a run publishes to. `token_place`: where a person changes the token."""

    def __init__(self, target: HubTarget, token: str, token_place: str) -> None:
        self._target, self._token_place = target, token_place
        self._api = HfApi(hub_address(), token=token)

    def claim(self) -> None:
        """Makes the repository where there is none, and proves that the token may write to it: before training is paid for.

        Raises:
            TrainingError: exit code 2, when the token is not good or may not write there, or the repository is public and should
                be private, or the other way round; exit code 6, when the Hub does not answer.
        """
        repo, private = self._target.repo, self._target.private
        self._ask(self._api.whoami, ExitCode.CONFIGURATION)
        found = self._ask(self._is_private, ExitCode.CONFIGURATION)
        if found is None:
            self._ask(
                lambda: self._api.create_repo(repo, private=private, exist_ok=True), ExitCode.CONFIGURATION, "be made"
            )
        elif found != private:
            is_, wanted = ("private", "public") if found else ("public", "private")
            raise invalid(
                f"{_FIELD}.private: {repo} is there and is {is_}, and private: {str(private).lower()} wants it {wanted}; write "
                f"private: {str(found).lower()}, make it {wanted} at the Hub, or name another repo"
            )
        self._ask(lambda: self._api.auth_check(repo, write=True), ExitCode.CONFIGURATION)

    def publish(self, folder: Path, message: str) -> Published:
        """Commits the files of a folder with its manifest, and compares what the Hub says it has with them.

        What the Hub has of them already, by an earlier attempt or another model, is not sent again.

        Raises:
            TrainingError: exit code 6, when the Hub refuses them, does not answer, or has something else afterwards.
        """
        repo = self._target.repo
        wanted = _wanted(folder)
        total = sum(path.stat().st_size for path in wanted)
        sending = Sending(f"to {repo} at the Hub", total)
        # A commit whose answer was lost is there; so is one of an attempt that was lost after it.
        revision = self._ask(lambda: self._there(wanted))
        if revision is None:
            with ExitStack() as files:
                additions = [self._send(path, sending, files) for path in wanted]
                revision = self._ask(lambda: self._there(wanted) or self._commit(additions, wanted, message))
        differs = self._ask(lambda: _first_difference(self._files(revision), wanted))
        if differs is not None:
            raise TrainingError(
                ExitCode.ARTIFACTS, f"{_FIELD}: {repo} has another {differs} at commit {revision} than was uploaded"
            )
        return Published(revision, f"{self._api.endpoint}/{repo}")

    def _send(self, path: Path, sending: Sending, files: ExitStack) -> CommitOperationAdd:
        """Uploads one file ahead of its commit: what has arrived need not be sent again, whatever happens to the next."""

        def send() -> CommitOperationAdd:
            # Xet takes paths, and only paths; where it is not there, the file itself tells how far it was read.
            if is_xet_available():
                addition = CommitOperationAdd(path.name, str(path))
                with xet_counted(sending.moved):
                    self._api.preupload_lfs_files(self._target.repo, [addition], free_memory=False)
            else:
                addition = CommitOperationAdd(path.name, files.enter_context(CountedFile(path, sending.moved)))
                self._api.preupload_lfs_files(self._target.repo, [addition], free_memory=False)
            return addition

        addition = self._ask(send)
        sending.arrived(path.stat().st_size)
        return addition

    def _commit(self, additions: list[CommitOperationAdd], wanted: dict[Path, str], message: str) -> str:
        removed = [CommitOperationDelete(name) for name in _strangers(self._files(constants.DEFAULT_REVISION), wanted)]
        return str(self._api.create_commit(self._target.repo, [*additions, *removed], commit_message=message).oid)

    def _there(self, wanted: dict[Path, str]) -> str | None:
        """The newest commit, when it has all files already and no other model's."""
        head = self._api.repo_info(self._target.repo).sha
        if head is None:
            return None
        found = self._files(head)
        return None if _first_difference(found, wanted) is not None or _strangers(found, wanted) else str(head)

    def _files(self, revision: str) -> dict[str, RepoFile]:
        entries = self._api.list_repo_tree(self._target.repo, revision=revision)
        return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}

    def _is_private(self) -> bool | None:
        """None where there is no such repository, or none that the token may see."""
        try:
            return bool(self._api.repo_info(self._target.repo).private)
        except RepositoryNotFoundError:
            return None

    def _ask(self, ask: Callable[[], T], refused: ExitCode = ExitCode.ARTIFACTS, what: str = "be written") -> T:
        repo = self._target.repo
        try:
            return patiently(ask)
        except Refused as no:
            how = f"put a token with the right to write to {repo} into {self._token_place}, or name another repo"
            advice = f"; {how}" if no.rights else ""
            raise TrainingError(
                refused, f"{_FIELD}.repo: {repo} cannot {what} at the Hub, which says {no}{advice}"
            ) from no
        except Unanswered as silence:
            raise TrainingError(
                ExitCode.ARTIFACTS, f"{_FIELD}: {repo} cannot {what}, as the Hub does not answer: {silence}"
            ) from silence


def claim_repository(config: Config) -> None:
    """Claims the repository that a run publishes to, where it publishes to one."""
    target = config.output.hugging_face
    if target is not None:
        enter("Starting", f"asking the Hub for {target.repo}")
        hub_repository(config).claim()


def hub_repository(config: Config) -> HubRepository:
    """The repository that a run publishes to. Raises TrainingError with exit code 2 when there is none, or no token for it."""
    target = config.output.hugging_face
    if target is None:
        raise invalid("output.huggingFace: is missing")
    return HubRepository(target, *token_of(target, config.storage.keys))


def _wanted(folder: Path) -> dict[Path, str]:
    """The folder's files with the SHA-256 sums that its manifest says, in order of their names."""
    files = json.loads((folder / MANIFEST).read_text())["files"]
    sums = {folder / file["path"]: str(file["sha256"]) for file in files}
    return dict(sorted((sums | {folder / MANIFEST: sha256(folder / MANIFEST)}).items()))


def _first_difference(found: dict[str, RepoFile], wanted: dict[Path, str]) -> str | None:
    """Name of the first file that is not there as it should be. Of large files the Hub says the SHA-256, of small ones git's sum."""
    for path, sum_ in wanted.items():
        file = found.get(path.name)
        if file is None or file.size != path.stat().st_size:
            return path.name
        if (file.lfs.sha256 != sum_) if file.lfs is not None else (file.blob_id != _git_sum(path)):
            return path.name
    return None


def _strangers(found: dict[str, RepoFile], wanted: dict[Path, str]) -> list[str]:
    names = {path.name for path in wanted}
    return [
        name for name in found if name not in names and any(fnmatch.fnmatch(name, pattern) for pattern in _OF_A_MODEL)
    ]


def _git_sum(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

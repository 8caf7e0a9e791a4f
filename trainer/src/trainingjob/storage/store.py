"""What any storage can do, and how it fails."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# Is told how many bytes more are done.
Tell = Callable[[int], None]


def tell_nobody(_: int) -> None:
    """For work that nobody follows."""


@dataclass(frozen=True)
class Digest:
    """What was read back of a file."""

    bytes: int
    sha256: str


class StorageError(OSError):
    """Storage refused or did not answer; the text says what to do. `lasting`: trying again does not help."""

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


class Store(Protocol):
    """Files below one URI, by name. Whatever fails is an OSError; a file that is not there is a FileNotFoundError."""

    def read(self, name: str) -> bytes:
        """The content of a small file."""

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file: whole, or not at all."""

    def upload(self, path: Path, name: str, tell: Tell = tell_nobody) -> None:
        """Stores a local file: whole, or not at all. `tell` hears of its bytes as they are sent."""

    def download(self, name: str, path: Path) -> None:
        """Copies a stored file to a local path."""

    def digest(self, name: str) -> Digest:
        """Reads a stored file to its end."""

    def folders(self) -> list[str]:
        """Names of the folders right below, in order."""

    def remove(self, name: str) -> None:
        """Removes a file or a folder with all in it; nothing happens when it is not there."""

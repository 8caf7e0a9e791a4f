"""What a run is busy with, as the operator shows it and as its watchdogs need it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trainingjob import reporting

_EVERY_SECONDS = 10.0


def enter(stage: str, detail: str | None = None) -> None:
    """Reports the stage that begins, or how far it is."""
    reporting.emit({"type": "stage", "stage": stage} | ({} if detail is None else {"detail": detail}))


@dataclass
class Seldom:
    """Tells how far a stage is, whenever that is known; it is reported now and then, for the first time after a while."""

    stage: str
    _told: float = field(default_factory=time.monotonic)

    def tell(self, detail: str) -> None:
        if time.monotonic() >= self._told + _EVERY_SECONDS:
            self._told = time.monotonic()
            enter(self.stage, detail)


def counting(
    stage: str, what: str, total: int | None, every_seconds: float = _EVERY_SECONDS, *, begun: int = 0
) -> Callable[[int], None]:
    """Something to tell of bytes that are done, from any thread; how many of `total`, where that is known, they come to is reported
    now and then. `begun` are done already."""
    lock = threading.Lock()
    done, told = begun, time.monotonic()
    end = "so far" if total is None else f"of {size(total)}"

    def tell(count: int) -> None:
        nonlocal done, told
        with lock:
            done += count
            if time.monotonic() < told + every_seconds:
                return
            told = time.monotonic()
            enter(stage, f"{what}: {size(done)} {end}")

    return tell


@contextmanager
def growing(stage: str, what: str, folder: Path, every_seconds: float = _EVERY_SECONDS) -> Iterator[None]:
    """Reports now and then how many bytes have come into a folder meanwhile, for work of a library that does not tell."""
    begun, over = bytes_in(folder), threading.Event()

    def watch() -> None:
        told = 0
        while not over.wait(every_seconds):
            grown = bytes_in(folder) - begun
            if grown > told:
                told = grown
                enter(stage, f"{what}: {size(grown)} so far")

    watcher = threading.Thread(target=watch, name="growing", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder; links count for nothing, what vanishes meanwhile neither."""
    found = 0
    for path in folder.rglob("*"):
        try:
            found += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
        except OSError:
            continue
    return found


def size(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"

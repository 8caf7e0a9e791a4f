"""How much of an upload to the Hugging Face Hub has been sent."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub.utils
from huggingface_hub.utils import _xet_progress_reporting

from trainingjob.stages import enter

_TELL_SECONDS = 2.0
_MB = 1_000_000


class Sending:
    """Counts what was sent of `total` bytes, and reports it while the upload goes on, at most every two seconds."""

    def __init__(self, where: str, total: int) -> None:
        self._where, self._total = where, total
        self._done = self._now = 0
        self._told = -_TELL_SECONDS
        self.tell()

    def moved(self, sent: int) -> None:
        """So many bytes of the present file were sent so far."""
        self._now = sent
        if time.monotonic() - self._told >= _TELL_SECONDS:
            self.tell()

    def arrived(self, size: int) -> None:
        """The present file has arrived, or was there before."""
        self._done, self._now = self._done + size, 0
        self.tell()

    def tell(self) -> None:
        sent = min(self._done + self._now, self._total)
        self._told = time.monotonic()
        enter("Uploading", f"{self._where}: {sent / _MB:.1f} of {self._total / _MB:.1f} MB")


class CountedFile(io.BufferedReader):
    """A file that tells how far it was read."""

    def __init__(self, path: Path, moved: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path))
        self._moved = moved

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self._moved(self.tell())
        return content


@contextmanager
def xet_counted(moved: Callable[[int], None]) -> Iterator[None]:
    """While the block runs, uploads by Xet tell how many bytes they have processed.

    Xet tells that to the bars alone that the library draws, and to them only where bars are wanted; so something that draws
    nothing stands in their place.
    """

    class Reporter:
        def update_progress(self, group: Any, _items: Any) -> None:
            moved(int(group.total_bytes_completed))

        def close(self) -> None:
            pass

    bars, wanted = _xet_progress_reporting.XetUploadProgressReporter, huggingface_hub.utils.are_progress_bars_disabled
    _xet_progress_reporting.XetUploadProgressReporter = Reporter
    huggingface_hub.utils.are_progress_bars_disabled = lambda _name=None: False
    try:
        yield
    finally:
        _xet_progress_reporting.XetUploadProgressReporter = bars
        huggingface_hub.utils.are_progress_bars_disabled = wanted

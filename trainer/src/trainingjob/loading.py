"""Imports of large libraries."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """What libraries make when they are imported stays: to look through it for garbage takes a fifth of the time, and slows each later look."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()

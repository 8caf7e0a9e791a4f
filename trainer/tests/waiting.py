"""Waiting for what other processes do."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0


def wait_until(holds: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Returns when the condition holds; fails after a time that is long even for a machine with other work."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come to hold in {seconds} s")
        time.sleep(0.02)

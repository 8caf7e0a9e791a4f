"""Hides secret values in what a trainer prints: its lines go into status, events and the pod's log at Runpod (I9)."""

from collections.abc import Callable, Iterable

# Shorter ones are words that stand in any text.
_LEAST_LENGTH = 4
_HIDDEN = "[hidden]"


def hider(values: Iterable[str]) -> Callable[[str], str]:
    """What to do with each line; of a value with several lines, each is hidden, and the longest first."""
    lines = {line.strip() for value in values for line in value.splitlines()}
    parts = sorted((line for line in lines if len(line) >= _LEAST_LENGTH), key=len, reverse=True)

    def hide(line: str) -> str:
        for part in parts:
            line = line.replace(part, _HIDDEN)
        return line

    return hide

"""Whether a table fits into the pod's memory: asked before it is read, because a process that takes too much is killed without a
word."""

import re
from pathlib import Path

from trainingjob.datafile import bad_data

# Python and the libraries, before there is a row.
_BASE = 300 * 2**20
_GIB = 2**30


def check_memory(source: str, rows: int, columns: int, bytes_per_number: int) -> None:
    """Refuses a table that training would not have the memory for.

    Args:
        rows, columns: Of the table, target included; the rows may be an estimate.
        bytes_per_number: What training takes at its height for each of its numbers.

    Raises:
        TrainingError: exit code 3, naming the memory that is needed.
    """
    needed, free = _BASE + rows * columns * bytes_per_number, available_bytes()
    if free is not None and needed > free:
        raise bad_data(
            f"{source} has about {rows} rows of {columns} columns; training on them takes about {needed / _GIB:.1f} GiB of memory, and "
            f"this pod has {free / _GIB:.1f} GiB free; choose a candidate with more memory, or fewer features or rows"
        )


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that this process may still take: what the machine has free, or what the container may have if that is less. None
    where neither is told."""
    found: list[int] = []
    for limit, used in (
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        most, now = _number(root / limit), _number(root / used)
        if most is not None and now is not None:
            found.append(max(0, most - now))
    free = re.search(r"^MemAvailable:\s+(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    if free:
        found.append(int(free[1]) * 1024)
    return min(found, default=None)


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    # "max" where there is no limit.
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

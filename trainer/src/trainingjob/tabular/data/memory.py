"""Whether a table fits into the pod's memory: asked before it is read, because a process that takes too much is killed without a
word."""

import re
from pathlib import Path

from trainingjob.datafile import bad_data
from trainingjob.tabular.data.cells import CHUNK_ROWS

# Python and the libraries, before there is a row.
_BASE = 300 * 2**20
_GIB = 2**30
# Of a table on disk, as measured and with a fifth on top: of each row target, parts, predictions and what their metrics take; of each
# number what the libraries keep; of a chunk of the file its texts; of the rows that LightGBM chooses its bins by, the numbers.
_STREAMED_ROW_BYTES = 150
_STREAMED_NUMBER_BYTES = 4
_TEXT_BYTES = 100
_SAMPLED_ROWS = 200_000
_SAMPLED_NUMBER_BYTES = 8


def in_chunks(source: str, rows: int, columns: int, bytes_per_number: int, *, streams: bool) -> bool:
    """Whether a table is too large to be in memory at once, but not to be trained on from disk.

    Args:
        rows, columns: Of the table, target included; the rows may be an estimate.
        bytes_per_number: What training takes at its height for each of its numbers when all are in memory.
        streams: The family trains on rows that it reads from disk.

    Raises:
        TrainingError: exit code 3, naming the memory that is needed, when there is too little either way.
    """
    needed, free = _BASE + rows * columns * bytes_per_number, available_bytes()
    if free is None or needed <= free:
        return False
    if streams:
        needed = streamed_bytes(rows, columns)
        if needed <= free:
            return True
    how = ", though they are read from disk" if streams else ""
    raise bad_data(
        f"{source} has about {rows} rows of {columns} columns; training on them takes about {needed / _GIB:.1f} GiB of memory{how}, and "
        f"this pod has {free / _GIB:.1f} GiB free; choose a candidate with more memory, or fewer features or rows"
    )


def streamed_bytes(rows: int, columns: int) -> int:
    """The most that training takes when the table is read from disk."""
    chunk = min(rows, CHUNK_ROWS) * columns * _TEXT_BYTES
    sample = min(rows, _SAMPLED_ROWS) * columns * _SAMPLED_NUMBER_BYTES
    return _BASE + chunk + sample + rows * (_STREAMED_ROW_BYTES + columns * _STREAMED_NUMBER_BYTES)


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

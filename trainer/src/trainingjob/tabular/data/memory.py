"""Whether a table fits into the pod's memory: asked before it is read, because a process that takes too much is killed without a
word."""

import re
from collections.abc import Mapping
from pathlib import Path

from trainingjob.datafile import bad_data
from trainingjob.tabular.data.cells import CHUNK_ROWS

# Python and the libraries, before there is a row.
_BASE = 300 * 2**20
_GIB = 2**30
# A number of a table in memory, before anything is made of it.
_NUMBER_BYTES = 8
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


def inputs_in_chunks(
    source: str,
    rows: int,
    columns: int,
    widths: Mapping[str, int],
    bytes_per_number: int,
    *,
    one_hot: bool,
    streams: bool,
    stored: bool,
) -> bool:
    """Whether what a model takes is too large to be in memory at once, but not to be trained on from disk: asked of a table that was
    read, because texts that become a column each are known only then.

    Args:
        rows, columns: Of the table, target included.
        widths: How many columns each feature becomes.
        bytes_per_number: As of `in_chunks`.
        one_hot: Texts become a column each.
        streams: The family trains on rows that it reads from disk.
        stored: The table is on disk.

    Raises:
        TrainingError: exit code 3, naming the memory that is needed and the widest features, when there is too little either way.
    """
    width, free = 1 + sum(widths.values()), available_bytes()
    # No wider than the table itself, which memory was found to hold.
    if width <= columns or free is None:
        return stored
    # What is there already is not free: Python, the libraries and a table in memory.
    needed = rows * (width * bytes_per_number - columns * _NUMBER_BYTES)
    if not stored and needed <= free:
        return False
    if streams:
        needed = _streamed_rows_bytes(rows, width)
        if needed <= free:
            return True
    widest = sorted(((count, name) for name, count in widths.items() if count > 1), reverse=True)[:3]
    told = ", ".join(f'{count} of "{name}"' for count, name in widest)
    by = " by preprocessing.encoding: OneHot" if one_hot else ""
    instead = (
        "write preprocessing.encoding: Ordinal, leave such columns out of features" if one_hot else "leave some out"
    )
    how = ", though they are read from disk" if streams else ""
    raise bad_data(
        f"{source}: the columns become {width - 1}{by} ({told}); training on {rows} rows of them takes about {needed / _GIB:.1f} GiB of "
        f"memory more than the table does{how}, and this pod has {free / _GIB:.1f} GiB free; {instead}, or choose a candidate with more memory"
    )


def streamed_bytes(rows: int, columns: int) -> int:
    """The most that training takes when the table is read from disk."""
    chunk = min(rows, CHUNK_ROWS) * columns * _TEXT_BYTES
    return _BASE + chunk + _streamed_rows_bytes(rows, columns)


def _streamed_rows_bytes(rows: int, columns: int) -> int:
    sample = min(rows, _SAMPLED_ROWS) * columns * _SAMPLED_NUMBER_BYTES
    return sample + rows * (_STREAMED_ROW_BYTES + columns * _STREAMED_NUMBER_BYTES)


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that this process may still take: what the machine has free, or what the container may have if that is less. None
    where neither is told."""
    found: list[int] = []
    for folder, limit, used, cached in (
        ("sys/fs/cgroup", "memory.max", "memory.current", ""),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ):
        most, now = _number(root / folder / limit), _number(root / folder / used)
        if most is not None and now is not None:
            found.append(max(0, most - max(0, now - _reclaimable(root / folder / "memory.stat", cached))))
    free = re.search(r"^MemAvailable:\s+(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    if free:
        found.append(int(free[1]) * 1024)
    return min(found, default=None)


def _reclaimable(stat: Path, prefix: str) -> int:
    """Pages of files, which count as the container's until somebody needs their place: a data file that was just downloaded is
    there whole."""
    counts = dict(re.findall(r"^(\w+) (\d+)$", _text(stat), re.MULTILINE))
    return sum(int(counts.get(f"{prefix}{name}", 0)) for name in ("inactive_file", "active_file"))


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    # "max" where there is no limit.
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

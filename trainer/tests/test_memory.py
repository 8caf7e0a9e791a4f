"""The memory that a table needs is named before it is read."""

import pytest

from tests.demojob import demo_config
from tests.finished import run
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.tabular.data import memory
from trainingjob.tabular.data.csvfile import csv_cells

MIB = 2**20
PLACES = [
    ("nothing told", {}, None),
    ("machine", {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    2048 kB\n"}, 2 * MIB),
    (
        "container",
        {
            "sys/fs/cgroup/memory.max": f"{8 * MIB}\n",
            "sys/fs/cgroup/memory.current": f"{7 * MIB}\n",
            "proc/meminfo": "MemAvailable: 4096 kB\n",
        },
        MIB,
    ),
    (
        "container without a limit",
        {
            "sys/fs/cgroup/memory.max": "max\n",
            "sys/fs/cgroup/memory.current": "5\n",
            "proc/meminfo": "MemAvailable: 4096 kB\n",
        },
        4 * MIB,
    ),
    (
        "older container that has more than it may",
        {
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "5\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "6\n",
        },
        0,
    ),
]


@pytest.mark.parametrize(("files", "wanted"), [case[1:] for case in PLACES], ids=[case[0] for case in PLACES])
def test_memory_that_may_still_be_taken(tmp_path, files, wanted):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.available_bytes(tmp_path) == wanted


def test_table_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 301 * MIB)
    config = demo_config(tmp_path)
    (tmp_path / "diabetes.csv").write_text("a,above_median\n" + "12.5,1\n" * 200_000 + "not read,1\n")
    with pytest.raises(TrainingError) as caught:
        run(tmp_path, config)
    assert caught.value.code == ExitCode.DATA
    assert "has about 200002 rows of 2 columns; training on them takes about 0.3 GiB of memory" in str(caught.value)
    assert "choose a candidate with more memory" in str(caught.value)


def test_rows_of_a_large_file_are_estimated_from_its_beginning(tmp_path):
    path = tmp_path / "large.csv"
    path.write_text("a,b\n" + "".join(f"{index:07},{index:07}\n" for index in range(300_000)))
    with csv_cells(path, "large") as cells:
        assert cells.estimated_rows == pytest.approx(300_000, rel=0.01)

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
    (
        "container whose data file is in the page cache",
        {
            "sys/fs/cgroup/memory.max": f"{8 * MIB}\n",
            "sys/fs/cgroup/memory.current": f"{7 * MIB}\n",
            "sys/fs/cgroup/memory.stat": f"anon {MIB}\nfile {6 * MIB}\nshmem {MIB}\ninactive_file {4 * MIB}\nactive_file {MIB}\n",
        },
        6 * MIB,
    ),
    (
        "older container whose data file is in the page cache",
        {
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{8 * MIB}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{7 * MIB}\n",
            # Without those of the groups below it.
            "sys/fs/cgroup/memory/memory.stat": f"inactive_file 5\ntotal_inactive_file {MIB}\ntotal_active_file {2 * MIB}\n",
        },
        4 * MIB,
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


def one_hot(tmp_path, family, **tabular):
    """A job on a narrow table, one column of which becomes many."""
    config = demo_config(tmp_path)
    (tmp_path / "diabetes.csv").write_text(
        "city,street,above_median\n" + "".join(f"c{row % 100},s{row % 3},{row % 2}\n" for row in range(10_000))
    )
    steps = {"iterations" if family == "catboost" else "nEstimators": 2}
    config["trainer"]["tabular"].update(
        {
            "modelType": f"{family}_binary_classification",
            "features": ["city", "street"],
            "parameters": steps,
            "preprocessing": {"encoding": "OneHot"},
            **tabular,
        }
    )
    return config


def test_table_that_one_hot_makes_too_wide_is_refused_before_its_rows_are_made(tmp_path, monkeypatch):
    frees = iter([400 * MIB, 30 * MIB])
    monkeypatch.setattr(memory, "available_bytes", lambda: next(frees))
    with pytest.raises(TrainingError) as caught:
        run(tmp_path, one_hot(tmp_path, "catboost"))
    assert caught.value.code == ExitCode.DATA
    assert (
        'the columns become 103 by preprocessing.encoding: OneHot (100 of "city", 3 of "street"); training on 10000 rows of them takes '
        "about 0.0 GiB of memory more than the table does, and this pod has 0.0 GiB free; write preprocessing.encoding: Ordinal"
    ) in str(caught.value)


def test_table_that_one_hot_makes_too_wide_is_read_from_disk_where_the_family_can(tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    whole = run(tmp_path / "whole", one_hot(tmp_path / "whole", "xgboost"))
    frees = iter([400 * MIB, 30 * MIB])
    monkeypatch.setattr(memory, "available_bytes", lambda: next(frees))
    (tmp_path / "wide").mkdir()
    wide = run(tmp_path / "wide", one_hot(tmp_path / "wide", "xgboost"))
    notes = next(event["notes"] for event in wide.events if event["type"] == "totals")
    assert any("read from disk a part at a time" in note for note in notes)
    for name in ("model.json", "predictions.csv"):
        assert len({(done.folder / "output" / name).read_bytes() for done in (whole, wide)}) == 1, name


def test_table_that_no_encoding_widens_is_not_asked_about_twice(tmp_path, monkeypatch):
    # What was read is no longer free, and is no reason to refuse it.
    frees = iter([400 * MIB, 0])
    monkeypatch.setattr(memory, "available_bytes", lambda: next(frees))
    assert run(tmp_path, one_hot(tmp_path, "catboost", preprocessing={"encoding": "Ordinal"})).code == 0


def test_rows_of_a_large_file_are_estimated_from_its_beginning(tmp_path):
    path = tmp_path / "large.csv"
    path.write_text("a,b\n" + "".join(f"{index:07},{index:07}\n" for index in range(300_000)))
    with csv_cells(path, "large") as cells:
        assert cells.estimated_rows == pytest.approx(300_000, rel=0.01)

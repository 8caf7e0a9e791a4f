"""A table that memory would not hold is trained on from disk, to the same model; peak memory keeps the bound that is documented."""

import csv
import json
import random
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.finished import run
from trainingjob.agent.reported import parse_event
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.tabular.data import inputs, memory, table
from trainingjob.tabular.families.known import FAMILIES

MIB = 2**20
TARGETS = {"regression": "number", "binary_classification": "two", "multiclass_classification": "three"}
ROWS = 6000


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """One table as CSV and as Parquet: numbers with gaps, texts, dates, truth values."""
    import pandas as pd

    folder = tmp_path_factory.mktemp("tables")
    chance = random.Random(7)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "gap", "text", "when", "flag", "number", "two", "three"])
        for row in range(ROWS):
            a, b, text = chance.random(), chance.gauss(0, 9), chance.choice("uvwxyz")
            value = 3 * a + b / 9 + (text > "w") + chance.random() / 2
            when, gap = f"2026-{row % 12 + 1:02}-{row % 28 + 1:02}", "" if row % 11 == 0 else b
            writer.writerow(
                [
                    a,
                    gap,
                    "" if row % 17 == 0 else text,
                    when,
                    a > 0.5,
                    value,
                    "yes" if value > 2 else "no",
                    int(value) % 3,
                ]
            )
    pd.read_csv(folder / "table.csv").to_parquet(folder / "table.parquet")
    return folder


def job(folder, table, family, task, **tabular):
    target = TARGETS[task]
    steps = {} if family == "svm" else {"iterations" if family == "catboost" else "nEstimators": 6}
    return {
        "trainer": {
            "tabular": {
                "modelType": f"{family}_{task}",
                "dataset": {"source": table.as_uri(), "testSplit": "0.1"},
                "target": target,
                "excludeFeatures": [name for name in TARGETS.values() if name != target],
                "parameters": steps,
                **tabular,
            }
        },
        "evaluation": {"everySteps": 3},
        "checkpoints": {},
        "storage": {"checkpoints": (folder / "c").as_uri(), "output": (folder / "output").as_uri()},
        "scoring": {"strategy": "SingleMetric", "metric": {"name": "eval/loss", "goal": "Minimize"}},
    }


def both(folder, config_of, monkeypatch):
    """The same job twice: with memory enough, and with too little for all rows at once."""
    # Several chunks of each part.
    monkeypatch.setattr(inputs, "_CHUNK_NUMBERS", 1000)
    done = []
    for name, free in (("whole", None), ("streamed", None)):
        (folder / name).mkdir()
        config = config_of(folder / name)
        if name == "streamed":
            with monkeypatch.context() as patch:
                patch.setattr(memory, "_STREAMED_ROW_BYTES", 0)
                patch.setattr(memory, "_STREAMED_NUMBER_BYTES", 0)
                patch.setattr(memory, "_TEXT_BYTES", 0)
                patch.setattr(memory, "_SAMPLED_NUMBER_BYTES", 0)
                patch.setattr(memory, "available_bytes", lambda: memory._BASE + 1)
                done.append(run(folder / name, config))
        else:
            monkeypatch.setattr(memory, "available_bytes", lambda free=free: free)
            done.append(run(folder / name, config))
    return done


CASES = [
    ("xgboost", "regression", "csv", {}),
    ("xgboost", "binary_classification", "parquet", {"classWeight": "Balanced"}),
    ("xgboost", "multiclass_classification", "csv", {"preprocessing": {"encoding": "Native", "imputing": "Native"}}),
    ("lightgbm", "regression", "parquet", {"preprocessing": {"imputing": "Drop", "scaling": "Standard"}}),
    ("lightgbm", "binary_classification", "csv", {"preprocessing": {"encoding": "OneHot", "imputing": "Median"}}),
    ("lightgbm", "multiclass_classification", "csv", {"classWeight": "Balanced"}),
]


@pytest.mark.parametrize(("family", "task", "kind", "tabular"), CASES, ids=[f"{each[0]}-{each[1]}" for each in CASES])
def test_rows_from_disk_make_the_same_model(tables, tmp_path, monkeypatch, family, task, kind, tabular):
    whole, streamed = both(
        tmp_path, lambda folder: job(folder, tables / f"table.{kind}", family, task, **tabular), monkeypatch
    )
    notes = next(event["notes"] for event in streamed.events if event["type"] == "totals")
    assert any("read from disk a part at a time" in note for note in notes)
    file = FAMILIES[family].model_file
    for name in (file, "pipeline.json", "predictions.csv", "heldout.csv"):
        there, here = (done.folder / "output" / name for done in (whole, streamed))
        assert there.read_bytes() == here.read_bytes(), name
    assert whole.lasting_metrics == streamed.lasting_metrics
    for event in streamed.events:
        parse_event(json.dumps(event).encode())


def test_folds_of_rows_on_disk_are_those_of_rows_in_memory(tables, tmp_path, monkeypatch):
    def config(folder):
        made = job(folder, tables / "table.csv", "lightgbm", "regression")
        made["trainer"]["tabular"]["dataset"]["folds"] = 2
        return made

    whole, streamed = both(tmp_path, config, monkeypatch)
    assert whole.metrics["cross_validation"] == streamed.metrics["cross_validation"]


@pytest.mark.parametrize("family", ["catboost", "random_forest", "svm"])
def test_family_that_needs_all_rows_in_memory_says_so_before_it_reads(tables, tmp_path, monkeypatch, family):
    monkeypatch.setattr(memory, "available_bytes", lambda: memory._BASE + 1)
    with pytest.raises(
        TrainingError, match=r"training on them takes about 0\.3 GiB of memory, and this pod has"
    ) as caught:
        run(tmp_path, job(tmp_path, tables / "table.csv", family, "regression"))
    assert caught.value.code == ExitCode.DATA


def test_table_that_is_too_large_from_disk_as_well_is_refused(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: memory._BASE)
    with pytest.raises(TrainingError, match=r"though they are read from disk, and this pod has 0\.3 GiB free"):
        run(tmp_path, job(tmp_path, tables / "table.csv", "xgboost", "regression"))


def test_disk_that_will_not_hold_the_table_is_named_before_it_is_read(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "in_chunks", lambda *_, **__: True)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    with pytest.raises(TrainingError, match=r"raise spec\.compute\.containerDiskGB") as caught:
        run(tmp_path, job(tmp_path, tables / "table.csv", "xgboost", "regression"))
    assert caught.value.code == ExitCode.ARTIFACTS


PEAK = """
import json, sys
from pathlib import Path
from trainingjob.config import parse_config
from trainingjob.tabular.data import memory
from trainingjob.tabular.train import train

config, free = json.loads(sys.argv[1]), int(sys.argv[2])
memory.available_bytes = lambda: free


def peak():
    # Not that of getrusage, which a process inherits from who started it: tests that ran before are in it.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


before = peak()
train(parse_config(config), "test")
print(json.dumps([before, peak()]))
"""


@pytest.mark.parametrize("family", ["xgboost", "lightgbm"])
def test_peak_memory_keeps_its_bound(tmp_path, family):
    """Measured from outside: what the process really took, beside what decides whether a pod is refused."""
    rows, columns = 100_000, 60
    values = np.random.default_rng(7).integers(0, 1000, (rows, columns))
    values[:, -1] = values[:, :5].sum(axis=1)
    with (tmp_path / "wide.csv").open("w") as file:
        file.write(",".join([*(f"c{index}" for index in range(columns - 1)), "number"]) + "\n")
        np.savetxt(file, values, fmt="%d", delimiter=",")
    config = job(tmp_path, tmp_path / "wide.csv", family, "regression", excludeFeatures=["c9"])
    bound = memory.streamed_bytes(rows, columns)
    in_memory = memory._BASE + rows * columns * FAMILIES[family].bytes_per_number
    assert bound < in_memory
    done = subprocess.run(
        [sys.executable, "-c", PEAK, json.dumps(config), str(bound)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    before, peak = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{family}: {before / MIB:.0f} MiB before, {peak / MIB:.0f} at its height, bound {bound / MIB:.0f}, else {in_memory / MIB:.0f}"
    )
    assert peak <= bound

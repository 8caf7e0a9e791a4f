"""What a run was made of is written down beside what it left."""

import hashlib
import json
from importlib.metadata import version

import numpy as np
import pytest

from tests.demojob import demo_config, of_type
from tests.finished import run
from trainingjob.tabular.data.column import Column, ColumnBuilder
from trainingjob.tabular.data.summary import summary_of

CSV = (
    "a,text,when,flag,unused,y\n1,x,2026-01-02,true,0,0.5\n,y,2026-01-01,false,0,1.5\n4,,,true,0,2.5\n"
    + "2,x,2026-01-03,true,0,3\n" * 20
)


def column(kind, cells):
    builder = ColumnBuilder("c", str, kind)
    builder.add(cells, range(len(cells)))
    return builder.build()


SUMMARIES = [
    (column("Numeric", ["1", "", "4"]), {"missing": 1, "min": 1.0, "mean": 2.5, "max": 4.0}),
    (column("Categorical", ["x", "", "y", "x"]), {"missing": 1, "distinct": 2}),
    (column("Boolean", ["true", "false", "true", "true"]), {"missing": 0, "mean": 0.75}),
    (
        column("Date", ["2026-01-02", "", "2026-01-01"]),
        {"missing": 1, "min": "2026-01-01T00:00:00", "max": "2026-01-02T00:00:00"},
    ),
    (Column("c", "Numeric", np.array([np.nan])), {"missing": 1}),
]


@pytest.mark.parametrize(("column", "wanted"), SUMMARIES, ids=lambda each: getattr(each, "kind", ""))
def test_summary_of_a_column(column, wanted):
    assert summary_of(column) == {"name": "c", "type": column.kind, **wanted}


def test_tabular_run_says_what_it_was_made_of(tmp_path):
    (tmp_path / "d.csv").write_text(CSV)
    config = demo_config(tmp_path)
    config["trainer"]["tabular"] = {
        "modelType": "lightgbm_regression",
        "dataset": {"source": (tmp_path / "d.csv").as_uri(), "seed": 7},
        "target": "y",
        "excludeFeatures": ["unused"],
        "preprocessing": {"imputing": "Drop"},
        "parameters": {"nEstimators": 2, "minDataInLeaf": 1},
    }
    done = run(tmp_path, config)
    sha = hashlib.sha256(CSV.encode()).hexdigest()
    (told,) = of_type(done.events, "dataset")
    assert (told["rows"], told["columns"], told["sha256"], told["samples"]) == (23, 6, sha, 21)
    metrics = done.metrics
    data = metrics["dataset"]
    assert (data["source"], data["sha256"], data["rows"], data["columns"]) == (
        (tmp_path / "d.csv").as_uri(),
        sha,
        23,
        6,
    )
    assert [(each["name"], each["type"], each["missing"]) for each in data["summary"]] == [
        ("a", "Numeric", 1),
        ("text", "Categorical", 1),
        ("when", "Date", 1),
        ("flag", "Boolean", 0),
        ("y", "Numeric", 0),
    ]
    assert metrics["versions"]["lightgbm"] == version("lightgbm")
    lineage = json.loads((tmp_path / "output" / "manifest.json").read_text())["lineage"]
    assert lineage["dataset"] == {name: value for name, value in data.items() if name != "summary"}
    assert (lineage["seed"], lineage["parameters"], lineage["versions"]) == (
        7,
        metrics["parameters"],
        metrics["versions"],
    )

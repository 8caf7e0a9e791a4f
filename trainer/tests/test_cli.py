"""The command `trainingjob`, as a person types it."""

import json
import os
import subprocess
import sys

import pytest

from tests.demojob import demo_config, with_parameters
from tests.waiting import PATIENCE_SECONDS
from trainingjob import __version__
from trainingjob.storage.manifest import verify


def trainingjob(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "trainingjob", *map(str, arguments)],
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def run_config(folder, config, *arguments):
    file = folder / "config.json"
    file.write_text(config if isinstance(config, str) else json.dumps(config))
    return trainingjob(folder, "run", "--config", "config.json", *arguments)


def small(folder):
    return with_parameters(demo_config(folder), nEstimators=20)


def test_run_without_an_operator(tmp_path):
    config = small(tmp_path)
    del config["storage"], config["checkpoints"]
    done = run_config(tmp_path, config, "--output", "result")
    assert done.returncode == 0
    verify((tmp_path / "result" / "output").as_uri())
    verify((tmp_path / "result" / "checkpoints" / "checkpoint-20").as_uri())
    assert "NEW BEST: step 20: eval loss " in done.stdout
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert events[-1]["type"] == "result"
    assert events[-1]["output"]["uri"] == (tmp_path / "result" / "output").as_uri()


def test_output_option_replaces_the_folders_of_the_file(tmp_path):
    done = run_config(tmp_path, small(tmp_path), "--output", "elsewhere")
    assert done.returncode == 0
    assert (tmp_path / "elsewhere" / "output" / "model.json").is_file()
    assert not (tmp_path / "output").exists()


def test_folders_of_the_file(tmp_path):
    assert run_config(tmp_path, small(tmp_path)).returncode == 0
    assert (tmp_path / "output" / "model.json").is_file()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("{", "config.json is not JSON: "),
        ("[]", "config.json must hold a JSON object"),
        (b"\xff\xfe".decode("latin-1"), "config.json is not JSON: "),
        ({}, "trainer: is missing"),
        ({"trainer": {"tabular": {}}, "evalution": 1}, "trainer.tabular.modelType: must be a text"),
        (
            {"trainer": {"custom": {"command": ["x"]}}, "evalution": 1},
            'evalution: is not known. Did you mean "evaluation"',
        ),
        (
            {"trainer": {"custom": {"command": ["x"]}}},
            "trainer.custom: is started by the agent; run its command yourself",
        ),
    ],
)
def test_configuration_that_cannot_be_used(tmp_path, config, sentence):
    done = run_config(tmp_path, config)
    assert done.returncode == 2
    assert sentence in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_file_that_is_not_there(tmp_path):
    done = trainingjob(tmp_path, "run", "--config", "none.json")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "none.json cannot be read: No such file or directory"


def test_bad_data(tmp_path):
    config = small(tmp_path)
    (tmp_path / "diabetes.csv").write_text("")
    done = run_config(tmp_path, config)
    assert done.returncode == 3
    assert "is empty; it needs a line of column names" in done.stderr.splitlines()[-1]


def test_output_that_cannot_be_written(tmp_path):
    config = small(tmp_path)
    (tmp_path / "taken").touch()
    done = run_config(tmp_path, config, "--output", "taken")
    assert done.returncode == 6
    assert "cannot be written" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "entry point of the image"),
        (["run", "--help"], 0, "--output"),
        (["--version"], 0, __version__),
        ([], 2, "required: command"),
        (["run"], 2, "required: --config"),
        (["train"], 2, "invalid choice: 'train'"),
    ],
)
def test_arguments(tmp_path, arguments, code, words):
    done = trainingjob(tmp_path, *arguments)
    assert done.returncode == code
    assert words in done.stdout + done.stderr


@pytest.mark.parametrize(("arguments", "rows"), [([], 442), (["--rows", "50"], 50)], ids=["patients", "generated"])
def test_demonstration_data(tmp_path, arguments, rows):
    command = [sys.executable, "-m", "trainingjob.tabular.demo", "--out", "deep/data.csv", *arguments]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=PATIENCE_SECONDS)
    header, *lines = (tmp_path / "deep" / "data.csv").read_text().splitlines()
    assert (len(lines), header.split(",")[-1]) == (rows, "above_median")
    assert {line.rsplit(",", 1)[1] for line in lines} == {"0", "1"}


def test_demonstration_data_of_too_few_rows(tmp_path):
    command = [sys.executable, "-m", "trainingjob.tabular.demo", "--out", "data.csv", "--rows", "49"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (done.returncode, "--rows must be at least 50, not 49" in done.stderr) == (2, True)

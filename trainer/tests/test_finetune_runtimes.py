"""The runtimes that the project comes with: what they say of each method, a tiny model really trains with."""

import json
import re
from dataclasses import asdict
from typing import Any

import pytest
import torch
import yaml

from tests.finetunejob import finetune_config, run
from tests.node import ROOT
from trainingjob.config import parse_config
from trainingjob.exitcodes import ExitCode
from trainingjob.finetune import demo
from trainingjob.finetune.defaults import METHODS
from trainingjob.finetune.parameters import FineTuneConfig

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    # 4 bits go by blocks of 64 weights.
    demo.write_model(folder / "model", hidden=64)
    for method, rows in demo.ROWS.items():
        demo.write_rows(folder / f"{method}.jsonl", rows(24))
    return folder


def words_of(method: str) -> dict[str, Any]:
    text = (ROOT / "crds" / "runtimes" / f"{method.lower()}-standard.yaml").read_text()
    return dict(yaml.safe_load(text)["spec"])


@pytest.mark.parametrize("method", METHODS)
def test_a_tiny_model_trains_as_the_runtime_of_its_method_says(made, tmp_path, method):
    words = words_of(method)
    theirs = words["trainer"]["fineTune"]
    assert theirs["method"] == method
    reward = {"reward": {"functions": [{"name": "Length", "targetTokens": 8}]}} if method == "RLHF" else {}
    # The job's own words: a run of one step, of short answers.
    short = {"maxSteps": 1, **({"maxCompletionLength": 8} if method == "RLHF" else {})}
    config = finetune_config(
        tmp_path,
        made / "model",
        made / f"{method}.jsonl",
        lora=theirs["lora"],
        finetune={**theirs, **reward, "parameters": {**theirs["parameters"], **short}},
        evaluation={"everySteps": 1},
        checkpoints=words["checkpoints"],
        **({"scoring": None} if method == "RLHF" else {}),
    )
    done = run(tmp_path, config)
    assert done.code == ExitCode.SUCCESS
    assert [event["step"] for event in done.of("evaluation")] == [1]
    adapter = json.loads((tmp_path / "checkpoints" / "checkpoint-1" / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["lora_alpha"]) == (theirs["lora"]["r"], theirs["lora"]["alpha"])
    card = (tmp_path / "output" / "README.md").read_text()
    assert "| Quantization while training | NF4 |" in card
    found = re.search(r"^\| Parameters \| `(.*)` \|$", card, re.MULTILINE)
    assert found is not None
    trained = parse_config(config).trainer
    assert isinstance(trained, FineTuneConfig)
    expected = {name: value for name, value in asdict(trained.parameters).items() if value is not None}
    assert json.loads(found[1]) == json.loads(json.dumps(expected))
    assert expected["learning_rate"] == float(theirs["parameters"]["learningRate"])

    # What the method's page says to watch is there.
    page = (ROOT / "docs" / "methods" / f"{method.lower()}.md").read_text().partition("## What to watch")[2]
    watched = set(re.findall(r"`((?:train|eval)/[a-z_/]+)`", page))
    kinds = ("point", "evaluation")
    seen = {name for kind in kinds for event in done.of(kind) for name in event["metrics"]} | {"eval/loss"}
    assert watched
    assert watched <= seen

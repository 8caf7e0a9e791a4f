"""Defaults stand in one place of the code; what users read of them says the same."""

import re
from typing import Any

import pytest
import yaml

from tests.node import ROOT, from_node
from trainingjob.finetune.defaults import LORA, METHODS, defaults_of
from trainingjob.predictions import parse_predictions

PREDICTIONS = ("enabled", "sampleCount", "maxNewTokens", "temperature", "seed", "jsonSchema")
NAMES = list(dict.fromkeys(name for method in METHODS for name in defaults_of(method)))


def shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def between(mark: str, page: str = "finetune.md") -> str:
    text = (ROOT / "docs" / page).read_text()
    found = re.search(rf"<!-- {mark}: begin -->\n\n(.*?)\n*<!-- {mark}: end -->", text, re.DOTALL)
    assert found is not None
    return found[1]


def table(head: list[str], rows: list[list[Any]]) -> str:
    lines = ["| " + " | ".join(shown(cell) for cell in row) + " |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines])


def test_table_of_defaults_is_that_of_the_code():
    rows = [[f"`{name}`", *(defaults_of(method).get(name, "") for method in METHODS)] for name in NAMES]
    wanted = table(["Parameter", *METHODS], rows)
    assert between("defaults") == wanted, f"write this between the marks in docs/finetune.md:\n\n{wanted}\n"


@pytest.mark.parametrize("method", METHODS)
def test_page_of_a_method_states_its_defaults(method):
    page = f"methods/{method.lower()}.md"
    wanted = table(["Parameter", "Default"], [[f"`{name}`", value] for name, value in defaults_of(method).items()])
    assert between("defaults", page) == wanted, f"write this between the marks in docs/{page}:\n\n{wanted}\n"


def test_table_of_runtimes_is_that_of_their_files():
    names = [f"{method.lower()}-standard" for method in METHODS]
    specs = [yaml.safe_load((ROOT / "crds" / "runtimes" / f"{name}.yaml").read_text())["spec"] for name in names]
    parts = [spec["trainer"]["fineTune"] for spec in specs]
    assert [part["method"] for part in parts] == list(METHODS)
    said = {
        **{name: [part["parameters"].get(name, "") for part in parts] for name in NAMES},
        **{f"lora.{name}": [part["lora"].get(name, "") for part in parts] for name in LORA},
        "quantization": [part["quantization"] for part in parts],
        **{
            f"checkpoints.{name}": [spec["checkpoints"].get(name, "") for spec in specs]
            for name in ("keepBest", "keepLast")
        },
        **{
            f"compute.{name}": [spec["compute"].get(name, "") for spec in specs]
            for name in ("minCudaVersion", "containerDiskGB")
        },
        **{f"predictions.{name}": [spec["predictions"].get(name, "") for spec in specs] for name in PREDICTIONS},
    }
    rows = [[f"`{name}`", *values] for name, values in said.items() if any(value != "" for value in values)]
    wanted = table(["", *(f"`{name}`" for name in names)], rows)
    assert between("runtimes") == wanted, f"write this between the marks in docs/finetune.md:\n\n{wanted}\n"


def test_operator_and_trainer_have_the_same_defaults():
    """The resource's descriptions are held against the operator's, there."""
    methods, adapter = from_node("""
        import { adapterDefaults, fineTuneDefaults } from './controller/api/finetunedefaults.ts';
        console.log(JSON.stringify([fineTuneDefaults, adapterDefaults]));
    """)
    assert methods == {method: defaults_of(method) for method in METHODS}
    assert adapter == LORA


def test_predictions_have_the_same_defaults_everywhere():
    own = from_node("""
        import { ownDefaults } from './controller/api/defaults.ts';
        console.log(JSON.stringify(ownDefaults.predictions));
    """)
    assert parse_predictions({}) == parse_predictions(own)
    (version,) = yaml.safe_load((ROOT / "crds" / "trainingjobs.yaml").read_text())["spec"]["versions"]
    described = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["predictions"]["properties"]
    assert list(described) == list(PREDICTIONS)
    for name, value in own.items():
        assert described[name]["description"].endswith(f"Default: {shown(value)}.")
    text = (ROOT / "docs" / "finetune.md").read_text()
    example = re.search(r"```yaml\n(predictions:\n.*?)```", text, re.DOTALL)
    assert example is not None
    assert {"enabled": True, **yaml.safe_load(example[1])["predictions"], "jsonSchema": None} == {
        **own,
        "jsonSchema": None,
    }

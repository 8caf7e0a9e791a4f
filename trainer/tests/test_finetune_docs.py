"""Defaults stand in one place of the code; what users read of them says the same."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainingjob.finetune.defaults import LORA, METHODS, defaults_of

ROOT = Path(__file__).parents[2]
NAMES = list(dict.fromkeys(name for method in METHODS for name in defaults_of(method)))


def shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def described() -> dict[str, Any]:
    (version,) = yaml.safe_load((ROOT / "crds" / "trainingjobs.yaml").read_text())["spec"]["versions"]
    schema: Any = version["schema"]["openAPIV3Schema"]
    for name in ("spec", "trainer", "fineTune"):
        schema = schema["properties"][name]
    return dict(schema["properties"])


def test_table_of_defaults_is_that_of_the_code():
    rows = [
        f"| `{name}` | " + " | ".join(shown(defaults_of(method).get(name, "")) for method in METHODS) + " |"
        for name in NAMES
    ]
    table = "\n".join([f"| Parameter | {' | '.join(METHODS)} |", "|---" * (len(METHODS) + 1) + "|", *rows])
    text = (ROOT / "docs" / "finetune.md").read_text()
    found = re.search(r"<!-- defaults: begin -->\n\n(.*?)\n\n<!-- defaults: end -->", text, re.DOTALL)
    assert found is not None
    assert found[1] == table, f"write this between the marks in docs/finetune.md:\n\n{table}\n"


@pytest.mark.parametrize("name", NAMES)
def test_field_of_the_resource_names_its_defaults(name):
    words = described()["parameters"]["properties"][name]["description"]
    for method in METHODS:
        value = shown(defaults_of(method).get(name, ""))
        assert re.search(rf"(?<![0-9.]){re.escape(value)}(?![0-9])", words, re.IGNORECASE), (method, value, words)


@pytest.mark.parametrize("name", LORA)
def test_field_of_an_adapter_names_its_default(name):
    assert f"{LORA[name]} when absent" in described()["lora"]["properties"][name]["description"]

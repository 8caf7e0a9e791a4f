"""The operator's half of the project, asked from the tests of this one."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def from_node(program: str) -> Any:
    """What a module for Node prints as JSON, in the project's root."""
    node = ROOT / "node_modules" / ".bin" / "node"
    if not node.exists() or shutil.which("sh") is None:
        pytest.skip("the project's Node packages are not installed")
    command = [str(node), "--input-type=module", "-e", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ)
    return json.loads(done.stdout)

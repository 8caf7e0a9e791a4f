"""The core is light: whoever puts the agent in front of an image of their own gets no library with it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

TRAINER = Path(__file__).parents[1]
# What the extras bring: of these, the core may import nothing.
EXTRAS = tomllib.loads((TRAINER / "pyproject.toml").read_text())["project"]["optional-dependencies"]
# By themselves they are the extras: whoever imports them has them.
NOT_CORE = (
    "trainingjob.tabular",
    "trainingjob.finetune",
    "trainingjob.integrations",
    "trainingjob.hub",
    "trainingjob.storage.s3",
)

IMPORTS = """
import importlib, pkgutil, sys
from importlib.abc import MetaPathFinder

class Refused(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith("trainingjob"):
            raise ModuleNotFoundError(f"the core imports {name}", name=name)

sys.meta_path.insert(0, Refused())
import trainingjob
for module in pkgutil.walk_packages(trainingjob.__path__, "trainingjob.", onerror=lambda name: None):
    extra = any(module.name == name or module.name.startswith(f"{name}.") for name in sys.argv[1:])
    if not extra and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        print(module.name)
"""


def test_installing_the_core_alone_installs_nothing_else():
    project = tomllib.loads((TRAINER / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == []
    assert any(entry.startswith("torch") for entry in EXTRAS["finetune"])


def test_every_module_of_the_core_is_imported_with_nothing_but_the_standard_library():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *NOT_CORE],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(TRAINER / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = done.stdout.split()
    assert {
        "trainingjob.agent.agent",
        "trainingjob.reporting",
        "trainingjob.storage.s3settings",
        "trainingjob.run",
    } <= set(found)


def test_images_install_the_lists_that_are_there_and_start_what_is_there():
    text = (TRAINER / "Dockerfile").read_text()
    lists = re.search(r"for list in (.*?); do", text)
    assert lists is not None
    for name in [*lists[1].split(), "uv"]:
        assert (TRAINER / "requirements" / f"{name}.txt").is_file()
    assert 'ENTRYPOINT ["python", "-m", "trainingjob", "agent"]' in text
    # What the image adds to a place of its own is what that line imports.
    done = subprocess.run(
        [sys.executable, "-m", "trainingjob", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(TRAINER / "src")},
    )
    assert done.stdout.strip() == "0.1.0"

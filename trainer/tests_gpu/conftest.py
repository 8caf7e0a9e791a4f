"""What needs a GPU. Without one every test is skipped, and the last line says so."""

import os

import pytest
import torch
from tests.conftest import fresh_reporting  # noqa: F401

os.environ["OMP_NUM_THREADS"] = "1"

_GPUS = torch.cuda.device_count()


def pytest_configure(config):
    config.addinivalue_line("markers", "gpus(count): needs so many GPUs; one without the mark")


def pytest_collection_modifyitems(items):
    for item in items:
        mark = item.get_closest_marker("gpus")
        wanted = 1 if mark is None else mark.args[0]
        if wanted > _GPUS:
            item.add_marker(pytest.mark.skip(reason="no GPU" if _GPUS == 0 else f"{wanted} GPUs, and {_GPUS} here"))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """One line, as the other runs have it, after all that pytest says itself."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    passed, skipped = (reporter.stats.get(kind, []) for kind in ("passed", "skipped"))
    failed = [*reporter.stats.get("failed", []), *reporter.stats.get("error", [])]
    reasons = sorted({each.longrepr[2].removeprefix("Skipped: ") for each in skipped})
    why = f", {len(skipped)} skipped: {'; '.join(reasons)}" if skipped else ""
    print(f"{len(passed)} passed, {len(failed)} failed{why}")

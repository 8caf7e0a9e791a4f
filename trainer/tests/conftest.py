import os

import pytest

from trainingjob import reporting

# The tables are small: threads that wait for each other cost more than they save, above all on a machine with other work.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def fresh_reporting(monkeypatch):
    """No test inherits an agent's files, a stop or a train loss from the one before, or from whoever runs the tests."""
    for name in ("TRAININGJOB_EVENTS", "TRAININGJOB_STOP", "TRAININGJOB_FILE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(reporting, "_stop_requested", False)
    reporting._train_losses.clear()

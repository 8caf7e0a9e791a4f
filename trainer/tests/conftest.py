import gc
import os

import pytest

from tests.operatorserver import OperatorServer
from tests.pod import UID, Pod
from tests.puller import Puller
from trainingjob import reporting

# The tables are small: threads that wait for each other cost more than they save, above all on a machine with other work.
os.environ["OMP_NUM_THREADS"] = "1"
# The same on every machine: sums on a GPU are added in another order.
os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_finish():
    """What the libraries made when they were imported stays; to look through it took half of each small training's time."""
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh_reporting(monkeypatch):
    """No test inherits an agent's files, a stop or a train loss from the one before, or from whoever runs the tests."""
    for name in ("TRAININGJOB_EVENTS", "TRAININGJOB_STOP", "TRAININGJOB_CHECKPOINT", "TRAININGJOB_FILE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(reporting, "_stop_requested", False)
    monkeypatch.setattr(reporting, "_newest_checkpoint_request", "")
    reporting._train_losses.clear()


@pytest.fixture
def transport():
    """Who calls whom. A test that is played both ways is marked with `both_ways`."""
    return "push"


@pytest.fixture
def start(tmp_path, transport):
    """Starts a server and a pod for a configuration; ends both, and whatever the agent left."""
    made = []
    pullers = []

    def start(config, *, refuses=lambda _event: False, faults=(), env=None, **state):
        server = OperatorServer(config, refuses)
        server.faults = list(faults)
        for name, value in state.items():
            setattr(server, name, value)
        pod = Pod(tmp_path / "disk", server, transport, **(env or {}))
        made.append((server, pod))
        if transport == "pull":
            pullers.append(Puller(pod.address, server, UID))
        return server, pod

    yield start
    for puller in pullers:
        puller.close()
    for server, pod in made:
        pod.kill()
        server.close()

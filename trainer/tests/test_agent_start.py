"""What the agent looks at before the training begins: its identity, the configuration, the storage, the GPUs."""

import os
import subprocess
import sys

import pytest

from tests.pod import REPORTS, UID, custom
from tests.waiting import PATIENCE_SECONDS


def test_storage_that_cannot_be_written_fails_before_the_training(start, tmp_path):
    (tmp_path / "taken").touch()
    server, _pod = start(custom(REPORTS, storage={"checkpoints": None, "output": (tmp_path / "taken").as_uri()}))
    final = server.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (7, "PreflightFailed")
    assert "mount the network volume at the URI's path" in final["message"]
    assert server.steps == []
    server.wait_for(lambda: any(event.get("name") == "FinalNotStored" for event in server.ledger.events))


def test_storage_of_another_kind_is_said_and_stops_nothing_else(start):
    server, pod = start(custom(REPORTS, storage={"checkpoints": None, "output": "gs://bucket/model"}))
    final = server.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (2, "ConfigurationInvalid")
    assert "gs://bucket/model: only file:/// and s3:// addresses can be used here" in final["message"]
    assert pod.process.poll() is None


def test_gpus_that_are_not_there(start):
    server, _pod = start(custom(REPORTS), env={"TRAININGJOB_GPU_COUNT": "2", "PATH": "/nonexistent"})
    final = server.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (7, "PreflightFailed")
    assert "2 GPUs were rented, but the image has no nvidia-smi" in final["message"]


def fake_nvidia_smi(folder, lines):
    folder.mkdir()
    tool = folder / "nvidia-smi"
    tool.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    tool.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(("found", "outcome"), [(2, "Succeeded"), (1, "Failed"), (3, "Failed")])
def test_gpus_are_counted(start, tmp_path, found, outcome):
    path = fake_nvidia_smi(tmp_path / "bin", [f"GPU {index}: A" for index in range(found)])
    server, _pod = start(custom(REPORTS), env={"TRAININGJOB_GPU_COUNT": "2", "PATH": path})
    final = server.wait_for_final()
    assert final["outcome"] == outcome
    assert outcome == "Succeeded" or f"2 GPUs were rented and {found} are here" in final["message"]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"trainer": {"fineTuned": {}}}, "trainer.fineTuned: is not known"),
        ({"protocolVersion": 9, "trainer": {}, "agent": {"heartbeatSeconds": "x"}}, "protocolVersion: is 9"),
        ({"agent": {"holdSeconds": None, "heartbeatSeconds": "soon"}, "trainer": {}}, "trainer: write exactly one"),
        ({}, "trainer: is missing"),
    ],
)
def test_configuration_that_this_trainer_does_not_understand(start, config, sentence):
    server, pod = start(config)
    final = server.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (2, "ConfigurationInvalid")
    assert sentence in final["message"]
    assert pod.end() == 2


def test_agent_without_an_identity_says_what_is_missing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "trainingjob", "agent"],
        env={"PATH": os.environ["PATH"], "TRAININGJOB_UID": UID},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("not set: TRAININGJOB_NAMESPACE, TRAININGJOB_NAME, TRAININGJOB_ATTEMPT, ")

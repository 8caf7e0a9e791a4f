"""Checkpoints of trainers that are not ours, by the example that the README gives."""

import json
import re
from pathlib import Path

import pytest

from tests.demojob import of_type, read_events
from tests.pod import JOB, custom
from trainingjob import checkpoints
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.storage.manifest import verify

README = Path(__file__).parents[1] / "README.md"


def example():
    """The program in the README that saves and resumes."""
    (program,) = [code for code in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "resume(" in code]
    return program


def offered(events):
    found = [event for event in events if event["type"] == "checkpoint"]
    return {
        "checkpoints": [{name: event[name] for name in ("uri", "step", "manifestSHA256")} for event in reversed(found)]
    }


def losses(server):
    return {event["step"]: event["metrics"]["train/loss"] for event in server.of_type("point")}


def test_example_of_the_readme_goes_on_where_it_was_stopped(start, tmp_path):
    storage = {"checkpoints": (tmp_path / "checkpoints").as_uri(), "output": None}
    whole, pod = start(custom(example(), storage=storage))
    assert whole.wait_for_final()["outcome"] == "Succeeded"
    pod.end()
    assert whole.of_type("resumed") == []
    assert [event["step"] for event in whole.of_type("checkpoint")] == [20, 40, 60, 80, 100]

    # The pod was lost after step 60, and what lies at 60 was harmed.
    known = [event for event in whole.events if event["type"] != "checkpoint" or event["step"] <= 60]
    (tmp_path / "checkpoints" / "final.json").unlink()
    (tmp_path / "checkpoints" / "checkpoint-60" / "weight").write_text("7.0")
    second = custom(example(), storage=storage, resume=offered(known)) | {"job": {**JOB, "attempt": 2}}
    server, pod = start(second, env={"TRAININGJOB_ATTEMPT": "2"})
    assert server.wait_for_final()["outcome"] == "Succeeded"
    (resumed,) = server.of_type("resumed")
    assert (resumed["step"], resumed["uri"]) == (40, f"{storage['checkpoints']}/checkpoint-40")
    assert [entry["uri"] for entry in resumed["rejected"]] == [f"{storage['checkpoints']}/checkpoint-60"]
    assert losses(server) == {step: loss for step, loss in losses(whole).items() if step > 40}


def test_stop_of_the_example_leaves_a_checkpoint_of_its_step(start, tmp_path):
    program = example().replace("while step < 100:", "while True:\n    import time; time.sleep(0.01)")
    server, _pod = start(custom(program, storage={"checkpoints": (tmp_path / "c").as_uri(), "output": None}))
    server.wait_for(lambda: len(server.steps) > 2)
    server.commands = [{"id": "1", "type": "checkpoint", "reason": "suspend"}]
    server.wait_for(lambda: any(event["type"] == "checkpoint" for event in server.ledger.events))
    server.commands = [{"id": "2", "type": "stop", "reason": "suspend"}]
    assert server.wait_for_final()["exitCode"] == 130
    assert server.of_type("checkpoint")[-1]["step"] == server.steps[-1]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAININGJOB_EVENTS", str(tmp_path / "events.jsonl"))
    monkeypatch.setenv("TRAININGJOB_CHECKPOINTS_URI", (tmp_path / "checkpoints").as_uri() + "/")
    monkeypatch.delenv("TRAININGJOB_RESUME", raising=False)
    (tmp_path / "state").mkdir()
    return tmp_path


def test_what_is_saved_comes_back_and_what_lay_there_stays_beside_it(place, monkeypatch):
    (place / "state" / "a").write_bytes(b"\x00\xff")
    uri = checkpoints.save(place / "state", 0)
    assert uri == (place / "checkpoints" / "checkpoint-0").as_uri()
    monkeypatch.setenv("TRAININGJOB_RESUME", json.dumps(offered(read_events(place / "events.jsonl"))))
    (place / "other").mkdir()
    (place / "other" / "mine").touch()
    assert checkpoints.resume(str(place / "other")) == 0
    assert sorted(path.name for path in (place / "other").iterdir()) == ["a", "mine"]
    assert (place / "other" / "a").read_bytes() == b"\x00\xff"


@pytest.mark.parametrize("value", ["", None])
def test_run_that_begins_has_nothing_to_go_on_from(place, monkeypatch, value):
    if value is not None:
        monkeypatch.setenv("TRAININGJOB_RESUME", value)
    assert checkpoints.resume(place / "state") == 0
    assert not (place / "events.jsonl").exists()


def test_nothing_good_is_said_and_leaves_the_folder_as_it_is(place, monkeypatch):
    gone = {"uri": (place / "gone").as_uri(), "step": 5, "manifestSHA256": "0" * 64}
    monkeypatch.setenv("TRAININGJOB_RESUME", json.dumps({"checkpoints": [gone]}))
    (place / "state" / "mine").touch()
    assert checkpoints.resume(place / "state") == 0
    (event,) = of_type(read_events(place / "events.jsonl"), "resumed")
    assert (event["step"], event["uri"], event["rejected"][0]["uri"]) == (0, None, gone["uri"])
    assert [path.name for path in (place / "state").iterdir()] == ["mine"]


def test_manifest_that_points_out_of_its_folder_is_none(place, monkeypatch):
    checkpoints.save(place / "state", 1)
    manifest = place / "checkpoints" / "checkpoint-1" / "manifest.json"
    manifest.write_text(json.dumps({"files": [{"path": "../../secret", "bytes": 0, "sha256": ""}]}))
    with pytest.raises(TrainingError, match=r"'\.\./\.\./secret' is no file's name"):
        verify(manifest.parent.as_uri())


def test_folder_in_a_checkpoint_is_refused(place):
    (place / "state" / "inner").mkdir()
    with pytest.raises(ValueError, match="holds inner, which is no file"):
        checkpoints.save(place / "state", 1)


def test_job_without_a_place_for_checkpoints(place, monkeypatch):
    monkeypatch.delenv("TRAININGJOB_CHECKPOINTS_URI")
    with pytest.raises(TrainingError, match=r"give the job spec\.checkpoints with a uri") as caught:
        checkpoints.save(place / "state", 1)
    assert caught.value.code == ExitCode.CONFIGURATION

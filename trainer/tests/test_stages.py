"""How far a stage is, told while it goes on."""

import json
import threading

import pytest

from trainingjob import stages
from trainingjob.stages import Seldom, bytes_in, counting, growing, size


@pytest.fixture
def details(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAININGJOB_EVENTS", str(tmp_path / "events"))

    def details():
        if not (tmp_path / "events").exists():
            return []
        events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
        assert {event["stage"] for event in events} <= {"Uploading", "Merging"}
        return [event["detail"] for event in events]

    return details


def test_bytes_that_are_done_are_told_now_and_then(details):
    tell = counting("Uploading", "stored", 3_000_000_000, every_seconds=0)
    for _ in range(3):
        tell(500_000_000)
    assert details() == ["stored: 500.0 MB of 3.00 GB", "stored: 1.00 GB of 3.00 GB", "stored: 1.50 GB of 3.00 GB"]
    seldom = counting("Uploading", "stored", 10, every_seconds=600)
    seldom(5)
    assert len(details()) == 3


def test_how_far_a_stage_is_is_told_now_and_then(details, monkeypatch):
    merging = Seldom("Merging")
    merging.tell("1 of 3")
    assert details() == []
    monkeypatch.setattr(stages, "_EVERY_SECONDS", 0)
    merging.tell("2 of 3")
    assert details() == ["2 of 3"]


def test_folder_that_grows_is_told_by_its_bytes(details, tmp_path):
    folder = tmp_path / "written"
    folder.mkdir()
    (folder / "before").write_bytes(bytes(1_000_000))
    with growing("Merging", "weights", folder, every_seconds=0.01):
        (folder / "inner").mkdir()
        (folder / "inner" / "now").write_bytes(bytes(2_500_000))
        while not details():
            threading.Event().wait(0.005)
    # What did not change since is not told again.
    assert details() == ["weights: 2.5 MB so far"]
    assert (bytes_in(folder), size(999)) == (3_500_000, "0.0 MB")

"""A table in a data set at the Hub, by the endpoints that its library calls."""

import json

import pytest
from huggingface_hub import constants

from tests.demojob import demo_config, of_type
from tests.finished import run
from tests.hubserver import HubServer
from trainingjob.agent.reported import parse_event
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.hub import calls


@pytest.fixture
def server(tmp_path, monkeypatch):
    server = HubServer(tmp_path / "hub")
    server.repositories = {"datasets/acme/tables": tmp_path / "tables"}
    (tmp_path / "tables").mkdir()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv(calls.PATIENCE, "0.5")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield server
    server.close()


def job(server, folder, **dataset):
    config = demo_config(folder)
    (folder / "diabetes.csv").rename(server.repositories["datasets/acme/tables"] / "diabetes.csv")
    config["trainer"]["tabular"]["dataset"] |= {"source": "hf://acme/tables/diabetes.csv", **dataset}
    return config


def test_table_comes_from_the_hub_and_its_commit_is_told(server, tmp_path, monkeypatch):
    server.private.add("datasets/acme/tables")
    monkeypatch.setenv("HF_TOKEN", "good")
    done = run(tmp_path, job(server, tmp_path, revision="main"))
    commit = server.commit("datasets/acme/tables")
    for event in done.events:
        parse_event(json.dumps(event).encode())
    assert of_type(done.events, "dataset")[0]["revision"] == commit
    assert done.metrics["dataset"]["revision"] == commit
    assert f"its commit at the Hub `{commit}`" in (tmp_path / "output" / "README.md").read_text()


WRONG = {
    "private": ("spec.trainer.tabular.dataset.source: hf://acme/tables/diabetes.csv is not at the Hub, or private", {}),
    "revision": (
        "spec.trainer.tabular.dataset.revision: hf://acme/tables/diabetes.csv has no such",
        {"revision": "v2"},
    ),
    "sum": ("and spec.trainer.tabular.dataset.sha256 wants " + "0" * 64, {"sha256": "0" * 64}),
}


@pytest.mark.parametrize("what", WRONG)
def test_table_that_cannot_be_had_ends_the_run_with_the_field(server, tmp_path, what):
    sentence, dataset = WRONG[what]
    if what == "private":
        server.private.add("datasets/acme/tables")
    with pytest.raises(TrainingError) as caught:
        run(tmp_path, job(server, tmp_path, **dataset))
    assert (caught.value.code, sentence in str(caught.value)) == (ExitCode.DATA, True), str(caught.value)


def test_hub_that_is_away_is_waited_for_and_then_no_fault_of_the_data(server, tmp_path):
    config = job(server, tmp_path)
    server.broken = True
    with pytest.raises(TrainingError, match="cannot be read from the Hub: 500") as caught:
        run(tmp_path, config)
    assert caught.value.code == ExitCode.ARTIFACTS

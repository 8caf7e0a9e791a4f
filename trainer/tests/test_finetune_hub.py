"""Models and data from the Hub, by the endpoints that its library calls; each refusal names the field to change."""

import hashlib
import json
import shutil
from importlib.metadata import version

import pytest
import torch
from huggingface_hub import constants

from tests.demojob import read_events
from tests.finetunejob import finetune_config, offered, run
from tests.hubserver import Fault, HubServer
from trainingjob.datasource import DataSource
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo
from trainingjob.hub import calls, download

torch.set_num_threads(1)

MODEL, DATA = "hf://acme/tiny", "hf://acme/talks/data/sft.jsonl"


@pytest.fixture
def server(tmp_path, monkeypatch):
    demo.write_model(tmp_path / "model", hidden=32)
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(b"weights of another kind")
    demo.write_rows(tmp_path / "talks" / "data" / "sft.jsonl", demo.conversations(40))
    server = HubServer(tmp_path / "hub")
    server.repositories = {"models/acme/tiny": tmp_path / "model", "datasets/acme/talks": tmp_path / "talks"}
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv(calls.PATIENCE, "0.5")
    yield server
    server.close()


def data(source, revision=None):
    return DataSource("spec.trainer.fineTune.dataset", source, revision=revision)


def config_in(folder, **members):
    finetune = {"model": {"source": MODEL, "revision": "main"}, "dataset": {"source": DATA, "evalSplit": "0.1"}}
    return finetune_config(folder, folder, folder, finetune=finetune, parameters={"maxSteps": 4}, **members)


def test_model_and_data_come_from_the_hub_and_the_card_names_the_commit(server, tmp_path, monkeypatch):
    server.gated.add("models/acme/tiny")
    monkeypatch.setenv("HF_TOKEN", "good")
    done = run(tmp_path / "run", config_in(tmp_path / "run"))
    assert done.code == ExitCode.SUCCESS
    commit = server.commit("models/acme/tiny")
    assert f"hf://acme/tiny at commit {commit}" in (tmp_path / "run" / "output" / "README.md").read_text()
    metrics = json.loads((tmp_path / "run" / "output" / "metrics.json").read_text())
    assert metrics["model"] == {"source": MODEL, "revision": commit}
    of_data = server.commit("datasets/acme/talks")
    assert metrics["dataset"]["revision"] == done.of("dataset")[0]["revision"] == of_data
    assert f"{DATA} at commit {of_data}" in (tmp_path / "run" / "output" / "README.md").read_text()
    lineage = json.loads((tmp_path / "run" / "output" / "manifest.json").read_text())["lineage"]
    assert (lineage["model"], lineage["dataset"]) == (metrics["model"], metrics["dataset"])
    assert (lineage["dataset"]["source"], lineage["dataset"]["sha256"]) == (DATA, done.of("dataset")[0]["sha256"])
    assert lineage["seed"] == {"split": 42, "training": 42}
    assert lineage["parameters"]["max_steps"] == 4
    assert lineage["versions"]["trl"] == version("trl")
    # What this library does not read is not paid for.
    assert not list((tmp_path / "cache").rglob("pytorch_model.bin"))


def test_adapter_of_a_model_that_has_changed_is_not_gone_on_with(server, tmp_path):
    before = run(tmp_path / "run", config_in(tmp_path / "run"))
    (tmp_path / "run" / "events.jsonl").unlink()
    shutil.copy(tmp_path / "model" / "config.json", tmp_path / "model" / "config_of_before.json")
    done = run(tmp_path / "run", config_in(tmp_path / "run", resume=offered(before.events)))
    (resumed,) = done.of("resumed")
    assert resumed["step"] == 0
    assert "the model has changed since, from commit" in resumed["rejected"][0]["reason"]


def test_file_is_had_once(server):
    first = download.file_at_hub(data(DATA))
    assert first.commit == server.commit("datasets/acme/talks")
    assert download.file_at_hub(data(DATA, first.commit)) == first


def publishing(folder, **members):
    """To a repository with the token of its own Secret; the model and the data are folders of the other repositories."""
    output = {"uri": "file:///models", "huggingFace": {"repo": "acme/support", "private": True}}
    config = config_in(folder, output=output, **members)
    config["storage"]["keys"] = {"hf://acme/support": {"HF_TOKEN": "good"}}
    return config


def test_run_whose_publishing_failed_is_published_by_the_next_without_training_again(server, tmp_path, monkeypatch):
    monkeypatch.setenv(calls.PATIENCE, "0.5")
    folder = tmp_path / "run"
    server.faults.append(Fault("POST", "/commit/", status=500, times=99))
    with pytest.raises(TrainingError, match=r"cannot be written, as the Hub does not answer: 500") as caught:
        run(folder, publishing(folder))
    assert caught.value.code == ExitCode.ARTIFACTS
    assert f"The model itself is stored at {(folder / 'output').as_uri()}" in str(caught.value)
    stored = list(server.stored)
    before = read_events(folder / "events.jsonl")
    (folder / "events.jsonl").unlink()
    server.faults.clear()
    done = run(folder, publishing(folder, resume=offered(before)))
    assert done.code == ExitCode.SUCCESS
    assert done.of("resumed")[0]["step"] == 4
    assert (done.of("point"), done.of("evaluation"), done.of("checkpoint")) == ([], [], [])
    assert not {"Training", "Merging"} & {event["stage"] for event in done.of("stage")}
    assert server.stored == stored != []
    (result,) = done.of("result")
    assert result["output"]["huggingFaceRevision"] == server.commit("models/acme/support")
    assert result["output"]["huggingFaceURL"] == f"{server.url}/acme/support"
    there = server.repositories["models/acme/support"]
    assert hashlib.sha256((there / "manifest.json").read_bytes()).hexdigest() == result["output"]["manifestSHA256"]
    names = {path.name for path in there.iterdir()}
    assert names >= {
        "model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
        "generation_config.json",
        "README.md",
    }
    card = (there / "README.md").read_text()
    assert 'base_model: "acme/tiny"' in card
    assert "models/acme/support" in server.private


def test_output_of_another_training_is_not_taken_for_that_of_this_one(server, tmp_path):
    folder = tmp_path / "run"
    first = run(folder, publishing(folder))
    metrics = json.loads((folder / "output" / "metrics.json").read_text())
    (folder / "output" / "metrics.json").write_text(json.dumps({**metrics, "training_seconds": 1.0}))
    (folder / "events.jsonl").unlink()
    done = run(folder, publishing(folder, resume=offered(first.events)))
    assert "Merging" in {event["stage"] for event in done.of("stage")}
    assert json.loads((folder / "output" / "metrics.json").read_text()) == metrics


def test_repository_that_may_not_be_written_ends_the_run_before_anything_is_downloaded(server, tmp_path):
    folder = tmp_path / "run"
    server.tokens["good"] = "others"
    with pytest.raises(TrainingError, match="acme/support cannot be made at the Hub, which says 403") as caught:
        run(folder, publishing(folder))
    assert caught.value.code == ExitCode.CONFIGURATION
    assert [event["stage"] for event in read_events(folder / "events.jsonl")] == ["Starting"]


WRONG = [
    (
        lambda: download.model_at_hub("hf://acme/nothing", None),
        2,
        "hf://acme/nothing is not at the Hub, or private; correct it",
    ),
    (
        lambda: download.model_at_hub(MODEL, "v2"),
        2,
        "trainer.fineTune.model.revision: hf://acme/tiny has no such revision",
    ),
    (lambda: download.model_at_hub("hf://a/b/c", None), 2, "write hf://OWNER/NAME"),
    (
        lambda: download.file_at_hub(data("hf://acme/talks/no.jsonl")),
        3,
        "spec.trainer.fineTune.dataset.source: there is no such file: hf://acme/talks",
    ),
    (lambda: download.file_at_hub(data("hf://acme/talks")), 3, "names no file; write hf://OWNER/NAME/FILE"),
    (
        lambda: download.file_at_hub(data("hf://acme/others/sft.jsonl")),
        3,
        "spec.trainer.fineTune.dataset.source: hf://acme/others/sft.jsonl is not at the Hub, or private; correct it, or set HF_TOKEN",
    ),
    (
        lambda: download.file_at_hub(data(DATA, "v2")),
        3,
        "spec.trainer.fineTune.dataset.revision: hf://acme/talks/data/sft.jsonl has no such revision",
    ),
]


@pytest.mark.parametrize(("ask", "code", "sentence"), WRONG, ids=[each[2][:50] for each in WRONG])
def test_what_is_not_there(server, ask, code, sentence):
    with pytest.raises(TrainingError) as caught:
        ask()
    assert (caught.value.code, sentence in str(caught.value)) == (code, True), str(caught.value)


def test_gated_model_without_a_token(server):
    server.gated.add("models/acme/tiny")
    with pytest.raises(TrainingError, match="is gated: accept its terms at the Hub, and set HF_TOKEN") as caught:
        download.model_at_hub(MODEL, None)
    assert caught.value.code == ExitCode.CONFIGURATION


@pytest.mark.parametrize(
    ("ask", "code"),
    [(lambda: download.model_at_hub(MODEL, None), 2), (lambda: download.file_at_hub(data(DATA)), 3)],
)
def test_token_that_is_not_good_is_a_fault_of_the_job(server, monkeypatch, ask, code):
    """It was said that the Hub does not answer, and pods were paid to ask again."""
    monkeypatch.setenv("HF_TOKEN", "stolen")
    with pytest.raises(
        TrainingError, match=r"is refused by the Hub with 401; set HF_TOKEN in spec\.trainer\.env"
    ) as caught:
        ask()
    assert caught.value.code == code


def test_hub_that_answers_again_is_asked_again(server, monkeypatch):
    monkeypatch.setenv(calls.PATIENCE, "30")
    monkeypatch.setattr(calls, "_FIRST_WAIT_SECONDS", 0.01)
    server.faults += [Fault("GET", "/revision/", status=503), Fault("HEAD", "/sft.jsonl", status=503)]
    assert download.file_at_hub(data(DATA)).commit == server.commit("datasets/acme/talks")


@pytest.mark.parametrize("how", ["broken", "away"])
def test_hub_that_does_not_answer_is_no_fault_of_the_configuration(server, how):
    if how == "broken":
        server.broken = True
    else:
        server.close()
    with pytest.raises(TrainingError, match="hf://acme/tiny cannot be read from the Hub:") as caught:
        download.model_at_hub(MODEL, None)
    assert caught.value.code == ExitCode.ARTIFACTS


def test_answer_that_is_a_page_of_somebody_between_is_no_fault_of_ours(server):
    """A proxy asked for a login: the run ended as one whose trainer has a bug."""
    server.faults.append(Fault("GET", "/api/models/", page=b"<html>Log in</html>", times=99))
    with pytest.raises(TrainingError, match="hf://acme/tiny cannot be read from the Hub:") as caught:
        download.model_at_hub(MODEL, None)
    assert caught.value.code == ExitCode.ARTIFACTS


def test_adapter_names_the_model_at_the_hub_and_not_a_folder_of_its_pod(server, tmp_path):
    from peft import PeftConfig

    folder = tmp_path / "run"
    run(folder, config_in(folder, output={"uri": "file:///models", "merge": False}))
    found = PeftConfig.from_pretrained(folder / "output")
    assert (found.base_model_name_or_path, found.revision) == ("acme/tiny", server.commit("models/acme/tiny"))

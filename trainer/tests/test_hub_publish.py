"""What is published at the Hub: whole or not at all, proved, not sent twice, and refused before training is paid for."""

import json
import os
import time

import pytest
from huggingface_hub import constants, hf_hub_download

from tests.hubserver import Fault, HubServer
from trainingjob.agent.launch import child_environment, secret_values
from trainingjob.config import parse_config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import hubprogress, hubpublish
from trainingjob.finetune.hubtarget import HubTarget, token_of
from trainingjob.hub import calls
from trainingjob.storage.manifest import store_verified

PLACE = "HF_TOKEN of the Secret in spec.output.huggingFace.secretRef"


@pytest.fixture
def server(tmp_path, monkeypatch):
    server = HubServer(tmp_path / "hub")
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv(calls.PATIENCE, "3")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    server.waited = waited  # type: ignore[attr-defined]
    yield server
    server.close()


@pytest.fixture
def output(tmp_path):
    """What a run leaves: two files of weights, words and a manifest."""
    folder = tmp_path / "output"
    folder.mkdir()
    for name, size in (("model-1.safetensors", 300_000), ("model-2.safetensors", 200_000)):
        (folder / name).write_bytes(os.urandom(size))
    (folder / "config.json").write_text("{}\n")
    (folder / "README.md").write_text("---\nlibrary_name: transformers\n---\n")
    store_verified(folder, (tmp_path / "stored").as_uri(), 4, "0")
    return folder


def repository(token="good", repo="acme/support", private=True):
    return hubpublish.HubRepository(HubTarget(repo, private), token, PLACE)


def publish(output, **how):
    target = repository(**how)
    target.claim()
    return target.publish(output, "support, run 1: step 4")


def events(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_file_is_there_in_one_commit(server, output, tmp_path, monkeypatch):
    monkeypatch.setenv("TRAININGJOB_EVENTS", str(tmp_path / "events.jsonl"))
    monkeypatch.setattr(hubprogress, "_TELL_SECONDS", 0)
    published = publish(output)
    assert published.url == f"{server.url}/acme/support"
    assert published.revision == server.commit("models/acme/support")
    there = server.repositories["models/acme/support"]
    assert {path.name for path in there.iterdir()} == {path.name for path in output.iterdir()} | {".gitattributes"}
    assert all((there / path.name).read_bytes() == path.read_bytes() for path in output.iterdir())
    assert (server.asked("/commit/"), len(server.stored), server.private) == (1, 2, {"models/acme/support"})
    found = hf_hub_download(
        "acme/support", "config.json", token="good", endpoint=server.url, local_dir=tmp_path / "had"
    )
    assert (tmp_path / "had" / "config.json").read_text() == (output / "config.json").read_text(), found
    told = [event["detail"] for event in events(tmp_path / "events.jsonl")]
    assert told[0] == "to acme/support at the Hub: 0.0 of 0.5 MB"
    assert told[-1] == "to acme/support at the Hub: 0.5 of 0.5 MB"
    assert len(set(told)) > 2


def test_what_is_there_is_neither_sent_nor_committed_again(server, output):
    first = publish(output)
    assert publish(output) == first
    assert (server.asked("/commit/"), len(server.stored)) == (1, 2)


def test_upload_that_was_cut_goes_on_with_what_had_not_arrived(server, output):
    second = Fault("PUT", "/lfs/", cut_after=70_000, times=99)

    def put(oid, content, put=server._put):
        server.faults.append(second)
        return put(oid, content)

    server._put = put
    with pytest.raises(TrainingError, match="acme/support cannot be written, as the Hub does not answer") as caught:
        publish(output)
    assert caught.value.code == ExitCode.ARTIFACTS
    del server._put
    server.faults.clear()
    assert len(server.stored) == 1
    publish(output)
    assert len(server.stored) == len(set(server.stored)) == 2


PASSING = {
    "overloaded": Fault("POST", "/preupload/", status=503),
    "too many requests": Fault("POST", "/commit/", status=429, headers={"Retry-After": "2"}),
    "broken while it commits": Fault("POST", "/commit/", status=500),
    "gone while it commits": Fault("POST", "/commit/", cut_after=0),
    "cut in the middle": Fault("PUT", "/lfs/", cut_after=70_000),
    "storage's address has expired": Fault("PUT", "/lfs/", status=403),
    "no answer to who it is": Fault("GET", "/whoami-v2", status=502),
    "slow": Fault("PUT", "/lfs/", seconds_per_block=0.01),
}


@pytest.mark.parametrize("what", PASSING)
def test_failure_that_passes_ends_nothing(server, output, what):
    server.faults.append(PASSING[what])
    published = publish(output)
    assert server.faults == []
    assert published.revision == server.commit("models/acme/support")
    if what == "too many requests":
        assert 2.0 in server.waited


def test_commit_whose_answer_was_lost_is_not_made_twice(server, output):
    server.faults.append(Fault("POST", "/commit/", answer_lost=True))
    published = publish(output)
    assert published.revision == server.commit("models/acme/support")
    assert server.asked("/commit/") == 1


def test_weights_of_another_model_do_not_stay_beside(server, output):
    repository().claim()
    there = server.repositories["models/acme/support"]
    (there / "model.safetensors").write_bytes(b"of before")
    (there / "adapter_config.json").write_text("{}")
    (there / "LICENSE").write_text("ours")
    publish(output)
    assert not (there / "model.safetensors").exists()
    assert not (there / "adapter_config.json").exists()
    assert (there / "LICENSE").read_text() == "ours"


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"token": "stolen"}, f"says 401: Unauthorized; put a token with the right to write to acme/support into {PLACE}"),
        ({"token": "reader"}, "acme/support cannot be made at the Hub, which says 403: You don't have the rights to create"),
        ({"repo": "others/theirs"}, "others/theirs cannot be made at the Hub, which says 403"),
    ],
)  # fmt: skip
def test_who_may_not_publish_is_refused_before_the_training(server, asked, sentence):
    with pytest.raises(TrainingError) as caught:
        repository(**asked).claim()
    assert (caught.value.code, sentence in str(caught.value)) == (ExitCode.CONFIGURATION, True), str(caught.value)
    assert "or name another repo" in str(caught.value)
    assert "stolen" not in str(caught.value)


def test_token_that_only_reads_is_refused_where_the_repository_is_there(server):
    repository().claim()
    with pytest.raises(TrainingError, match="acme/support cannot be written at the Hub, which says 403") as caught:
        repository(token="reader").claim()
    assert caught.value.code == ExitCode.CONFIGURATION


@pytest.mark.parametrize("private", [True, False])
def test_visibility_other_than_asked_for_is_refused(server, private):
    """A model that was to be private would be anybody's."""
    repository(private=not private).claim()
    there, wanted = ("public", "private") if private else ("private", "public")
    sentence = f"is there and is {there}, and private: {str(private).lower()} wants it {wanted}; write private: "
    with pytest.raises(TrainingError, match=sentence) as caught:
        repository(private=private).claim()
    assert caught.value.code == ExitCode.CONFIGURATION


def test_hub_that_is_away_is_no_fault_of_the_configuration(server):
    server.close()
    with pytest.raises(
        TrainingError, match=r"spec.output.huggingFace: acme/support cannot be written, as the Hub"
    ) as caught:
        repository().claim()
    assert caught.value.code == ExitCode.ARTIFACTS


REFUSED = {
    "right taken away": (lambda server: server.tokens.update(good=""), f"into {PLACE}, or name another repo"),
    "card": (lambda server: setattr(server, "card_error", "license is none"), "Invalid metadata in README.md. - license is none"),
    "too large": (lambda server: server.faults.append(Fault("POST", "/commit/", status=413)), "says 413: "),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_publishing_that_is_refused_is_told_and_not_tried_again(server, output, what):
    target = repository()
    target.claim()
    refuse, sentence = REFUSED[what]
    refuse(server)
    with pytest.raises(TrainingError) as caught:
        target.publish(output, "step 4")
    assert (caught.value.code, sentence in str(caught.value)) == (ExitCode.ARTIFACTS, True), str(caught.value)
    assert server.waited == []
    assert "signature" not in str(caught.value)


def test_hub_that_has_something_else_afterwards_is_no_success(server, output):
    target = repository()
    target.claim()

    def commit(name, lines, commit=server._commit):
        reply = commit(name, lines)
        server.large[name, "model-2.safetensors"] = ("0" * 64, 200_000)
        return reply

    server._commit = commit
    with pytest.raises(TrainingError, match=r"has another model-2\.safetensors at commit") as caught:
        target.publish(output, "step 4")
    assert caught.value.code == ExitCode.ARTIFACTS


def test_xet_sends_what_is_new_and_tells_how_much(server, output, monkeypatch):
    """The library's own client of Xet, which stores in a folder here."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    (server.root / "xet").mkdir(parents=True)
    moved: list[int] = []
    monkeypatch.setattr(hubprogress.Sending, "moved", lambda _sending, sent: moved.append(sent))
    published = publish(output)
    assert published.revision == server.commit("models/acme/support")
    assert server.stored == []
    assert sum(path.stat().st_size for path in (server.root / "xet").rglob("*") if path.is_file()) > 500_000
    assert server.asked("xet-write-token") == 2
    assert {300_000, 200_000} <= set(moved)


BASE = {
    "trainer": {"fineTune": {"method": "SFT", "model": {"source": "file:///m"}, "dataset": {"source": "file:///d"}}}
}


def test_configuration_says_where_the_token_is(monkeypatch):
    output = {"uri": "file:///o", "huggingFace": {"repo": "acme/support"}}
    monkeypatch.delenv("HF_TOKEN", raising=False)
    config = parse_config({**BASE, "output": output})
    assert config.output.hugging_face == HubTarget("acme/support", private=True)
    with pytest.raises(
        TrainingError, match=r"output.huggingFace: acme/support needs a token; a job gets it from key HF_TOKEN"
    ):
        hubpublish.hub_repository(config)
    monkeypatch.setenv("HF_TOKEN", "of all")
    assert token_of(config.output.hugging_face, {}) == ("of all", "HF_TOKEN in spec.trainer.env")
    own = parse_config({**BASE, "output": output, "storage": {"keys": {"hf://acme/support": {"HF_TOKEN": "its own"}}}})
    assert token_of(config.output.hugging_face, own.storage.keys) == ("its own", PLACE)
    # Only the trainer reads it, from its configuration; what it prints of it is hidden.
    assert "its own" in secret_values(own, {})
    assert "its own" not in " ".join(child_environment(own, {}).values())


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ({"repo": "support"}, "output.huggingFace.repo: must be OWNER/NAME, not 'support'"),
        ({"repo": "a/b", "private": "yes"}, "output.huggingFace.private: must be true or false"),
        ({"repo": "a/b", "privte": True}, 'output.huggingFace.privte: is not known. Did you mean "private"?'),
    ],
)
def test_target_that_cannot_be_used(output, sentence):
    with pytest.raises(TrainingError) as caught:
        parse_config({**BASE, "output": {"uri": "file:///o", "huggingFace": output}})
    assert (caught.value.code, sentence in str(caught.value)) == (ExitCode.CONFIGURATION, True), str(caught.value)

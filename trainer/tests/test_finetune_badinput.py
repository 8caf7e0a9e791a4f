"""Bad input of fine-tuning: each ends with the code that says whose fault it is, and names the field to change."""

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from tests.demojob import of_type, read_events
from tests.finetunejob import LORA, finetune_config, offered, run
from tests.hubserver import Fault as HubFault
from tests.hubserver import HubServer
from tests.s3proxy import Action, Fault, S3Proxy
from tests.s3server import running_s3_server
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo
from trainingjob.hub import calls
from trainingjob.storage import s3
from trainingjob.storage.manifest import verify

torch.set_num_threads(1)

DATASET, MODEL, PARAMETERS = (f"trainer.fineTune.{name}" for name in ("dataset", "model", "parameters"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model", hidden=32)
    demo.write_rows(folder / "sft.jsonl", demo.conversations(60))
    return folder


def ended(folder: Path, config: dict[str, Any]) -> TrainingError:
    with pytest.raises(TrainingError) as caught:
        run(folder, config)
    return caught.value


def talk(*turns):
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


GOOD = talk(("user", "q"), ("assistant", "a"))
TWO_SYSTEMS = talk(("system", "x"), ("system", "y"), ("user", "q"), ("assistant", "a"))
# As the templates of many models do.
STRICT = (
    "{% for message in messages %}{% if loop.index0 > 0 and message['role'] == 'system' %}"
    "{{ raise_exception('a system message must come first') }}{% endif %}{% endfor %}" + demo.TEMPLATE
)


def lines(*rows: dict[str, Any]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


# Content of the data, further members of fineTune, parameters, exit code, field, and what else is said.
ROWS: dict[str, tuple[bytes, dict[str, Any], dict[str, Any], int, str, str]] = {
    "empty": (b"", {}, {}, 3, f"{DATASET}.source", "has no rows; add some"),
    "blank lines": (b"\n\n", {}, {}, 3, f"{DATASET}.source", "has no rows; add some"),
    "no JSON": (lines(GOOD) + b"{", {}, {}, 3, f"{DATASET}.source", "line 2 is not JSON"),
    "NaN": (
        lines(GOOD) + b'{"messages": NaN}\n', {}, {}, 3, f"{DATASET}.source", "line 2 is not JSON: NaN is no JSON",
    ),
    "another method's": (
        lines({"prompt": "q", "chosen": "a", "rejected": "b"}), {}, {}, 3, f"{DATASET}.source",
        "row 1 has the members prompt, chosen, rejected, which SFT cannot train on",
    ),
    "unknown role": (
        lines(GOOD, talk(("bot", "x"))), {}, {}, 3, f"{DATASET}.source",
        "row 2: messages[0].role must be one of system, user, assistant, tool, not 'bot'",
    ),
    "roles that the model does not take": (
        lines(GOOD, TWO_SYSTEMS), {"chat_template": STRICT}, {}, 3, f"{DATASET}.source",
        "row 2: the model's chat template refuses these roles: a system message must come first",
    ),
    "all rows too long": (
        lines(*(talk(("user", "word " * 99), ("assistant", str(n))) for n in range(9))), {}, {"maxLength": 16}, 3,
        f"{PARAMETERS}.maxLength", "no row has anything to train on within 16 tokens",
    ),
    "fewer rows than are held out": (
        lines(GOOD), {}, {}, 3, f"{DATASET}.evalSplit", "none is left to train on; add rows or lower",
    ),
    "all rows the same": (
        lines(*[GOOD] * 9), {}, {}, 3, f"{DATASET}.evalSplit", "has 9 rows, 1 of them different",
    ),
    "batch larger than the data": (
        lines(*(talk(("user", "q"), ("assistant", str(n))) for n in range(9))), {}, {"perDeviceTrainBatchSize": 64}, 2,
        f"{PARAMETERS}.perDeviceTrainBatchSize", "64 is more than the 8 rows to train on; write at most 8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_rows(made, tmp_path, what):
    content, more, parameters, code, field, sentence = ROWS[what]
    (tmp_path / "rows.jsonl").write_bytes(content)
    config = finetune_config(tmp_path / "run", made / "model", tmp_path / "rows.jsonl", parameters=parameters)
    if "chat_template" in more:
        config["trainer"]["fineTune"]["model"]["chatTemplate"] = more["chat_template"]
    error = ended(tmp_path / "run", config)
    assert error.code == code
    assert field in str(error)
    assert sentence in str(error)


def test_numbers_that_are_none_in_a_table_of_texts(made, tmp_path):
    import pyarrow
    import pyarrow.parquet

    rows = pyarrow.table({"text": pyarrow.array([1.5, float("nan")])})
    pyarrow.parquet.write_table(rows, tmp_path / "rows.parquet")
    error = ended(tmp_path / "run", finetune_config(tmp_path / "run", made / "model", tmp_path / "rows.parquet"))
    assert error.code == ExitCode.DATA
    assert f'{DATASET}.source: {(tmp_path / "rows.parquet").as_uri()} row 1: "text" must be a text' in str(error)


# Members of fineTune, exit code, field, and what else is said.
JOBS: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "model that is not there": (
        {"model": {"source": "file:///nowhere"}}, 2, f"{MODEL}.source", "is no folder with a config.json",
    ),
    "data that are not there": (
        {"dataset": {"source": "file:///nowhere.jsonl"}}, 3, f"{DATASET}.source", "file:///nowhere.jsonl is not there",
    ),
    "data with another sum": (
        {"dataset": {"source": "GOOD", "sha256": "0" * 64}}, 3, f"{DATASET}.sha256", "correct the one or the other",
    ),
    "nothing to train on with so large a split": (
        {"dataset": {"source": "GOOD", "maxSamples": 2, "evalSplit": "0.9"}}, 3, f"{DATASET}.evalSplit", "add rows",
    ),
    "target of an adapter that matches nothing": (
        {"lora": {**LORA, "targetModules": ["query"]}}, 2, "trainer.fineTune.lora.targetModules",
        'the model has no linear module "query"',
    ),
    "repository without a token": (
        {"model": {"source": "hf://acme/gated"}}, 2, f"{MODEL}", "accept its terms at the Hub, and set HF_TOKEN",
    ),
    "model that is not at the Hub": (
        {"model": {"source": "hf://acme/nothing"}}, 2, f"{MODEL}.source", "is not at the Hub, or private; correct it",
    ),
    "revision that is not": (
        {"model": {"source": "hf://acme/tiny", "revision": "v2"}}, 2, f"{MODEL}.revision", "has no such revision",
    ),
    "data that are not at the Hub": (
        {"dataset": {"source": "hf://acme/nothing/rows.jsonl"}}, 3, f"{DATASET}.source", "is not at the Hub, or private",
    ),
    "revision of data that is not": (
        {"dataset": {"source": "hf://acme/talks/sft.jsonl", "revision": "v2"}}, 3, f"{DATASET}.revision",
        "has no such revision",
    ),
    "bucket that is not": (
        {"dataset": {"source": "s3://no-such-bucket/rows.jsonl"}}, 3, f"{DATASET}.source", "is not there",
    ),
}  # fmt: skip


@pytest.fixture
def hub(made, tmp_path, monkeypatch):
    server = HubServer(tmp_path / "hub")
    for name in ("tiny", "gated"):
        server.repositories[f"models/acme/{name}"] = made / "model"
    shutil.copytree(made, tmp_path / "talks", ignore=shutil.ignore_patterns("model"))
    server.repositories["datasets/acme/talks"] = tmp_path / "talks"
    server.gated.add("models/acme/gated")
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv(calls.PATIENCE, "0.5")
    yield server
    server.close()


@pytest.fixture(scope="module")
def server():
    with running_s3_server() as server:
        yield server


@pytest.fixture
def proxy(server, monkeypatch):
    proxy = S3Proxy(server.endpoint)
    for variable, value in server.environment(proxy.endpoint).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("TRAININGJOB_S3_PATIENCE_SECONDS", "1")
    monkeypatch.setattr(s3, "_FIRST_WAIT_SECONDS", 0.01)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("what", JOBS)
def test_jobs(made, hub, proxy, tmp_path, what):
    changed, code, field, sentence = JOBS[what]
    config = finetune_config(tmp_path / "run", made / "model", made / "sft.jsonl")
    finetune = config["trainer"]["fineTune"]
    for name, value in changed.items():
        finetune[name] = {**(finetune[name] if name == "lora" else {}), **value}
    if finetune["dataset"]["source"] == "GOOD":
        finetune["dataset"]["source"] = (made / "sft.jsonl").as_uri()
    error = ended(tmp_path / "run", config)
    assert (error.code, field in str(error), sentence in str(error)) == (code, True, True), str(error)


@pytest.mark.parametrize("which", ["model", "dataset"])
def test_hub_that_is_away_is_waited_for_by_the_next_attempt(made, hub, tmp_path, which):
    """No fault of the job, and so another attempt is made; it says what it could not read all the same."""
    hub.broken = True
    source = {"model": "hf://acme/tiny", "dataset": "hf://acme/talks/sft.jsonl"}[which]
    config = finetune_config(tmp_path / "run", made / "model", made / "sft.jsonl", finetune={which: {"source": source}})
    error = ended(tmp_path / "run", config)
    assert error.code == ExitCode.ARTIFACTS
    assert f"trainer.fineTune.{which}.source" in str(error)
    assert f"{source} cannot be read from the Hub" in str(error)


# What the storage of checkpoint 8 does: says nothing, or cuts every request.
FAILING: dict[str, Action] = {"slow": "hold", "cut": "cut request"}


def upload_fails(made, server, proxy, folder, how):
    """A configuration in a bucket that does not take checkpoint 8, what its run ended with, and what it reported."""
    bucket = f"bucket-{secrets.token_hex(4)}"
    (server.folder / bucket).mkdir()
    storage = {"checkpoints": f"s3://{bucket}/checkpoints", "output": f"s3://{bucket}/output"}
    parameters = {"maxSteps": 8}
    config = finetune_config(folder, made / "model", made / "sft.jsonl", storage=storage, parameters=parameters)
    proxy.faults.append(Fault(lambda request: "PUT" in request and "/checkpoint-8/" in request, how, 1000))
    error = ended(folder, config)
    events = read_events(folder / "events.jsonl")
    assert error.code == ExitCode.ARTIFACTS
    assert f"spec.checkpoints.uri: s3://{bucket}/checkpoints/checkpoint-8 cannot be written" in str(error)
    proxy.faults = []
    assert [event["step"] for event in of_type(events, "checkpoint") if event["verified"]] == [4]
    verify(f"{storage['checkpoints']}/checkpoint-4")
    return config, events


@pytest.mark.parametrize("how", FAILING)
def test_upload_that_fails_keeps_the_checkpoint_before(made, server, proxy, tmp_path, how):
    upload_fails(made, server, proxy, tmp_path / "run", FAILING[how])


def test_run_whose_upload_was_refused_goes_on_when_it_is_let(made, server, proxy, tmp_path):
    config, events = upload_fails(made, server, proxy, tmp_path / "run", 403)
    (tmp_path / "run" / "events.jsonl").unlink()
    done = run(tmp_path / "run", {**config, "resume": offered(events)})
    assert (done.code, done.of("resumed")[0]["step"]) == (ExitCode.SUCCESS, 4)


def test_output_that_is_refused_keeps_every_checkpoint(made, server, proxy, tmp_path):
    bucket = f"bucket-{secrets.token_hex(4)}"
    (server.folder / bucket).mkdir()
    storage = {"checkpoints": (tmp_path / "checkpoints").as_uri(), "output": f"s3://{bucket}/output"}
    config = finetune_config(
        tmp_path / "run", made / "model", made / "sft.jsonl", storage=storage, parameters={"maxSteps": 4}
    )
    proxy.faults.append(Fault(lambda request: "PUT" in request, 403, 1000))
    error = ended(tmp_path / "run", config)
    assert error.code == ExitCode.ARTIFACTS
    assert "spec.output.uri" in str(error)
    verify(f"{storage['checkpoints']}/checkpoint-4")


def test_hub_that_refuses_what_is_published(made, hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "good")
    output = {"uri": "file:///models", "huggingFace": {"repo": "acme/support", "private": True}}
    config = finetune_config(
        tmp_path / "run", made / "model", made / "sft.jsonl", output=output, parameters={"maxSteps": 4}
    )
    hub.faults.append(HubFault("POST", "/commit/", status=403, times=99))
    error = ended(tmp_path / "run", config)
    assert error.code == ExitCode.ARTIFACTS
    assert "output.huggingFace" in str(error)
    verify((tmp_path / "run" / "output").as_uri())

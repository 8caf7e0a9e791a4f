"""One key for each place: what it opens, what it does not, and who gets it. On a real S3 server with users of their own."""

import json
import secrets

import pytest

from tests.demojob import demo_config, with_parameters
from tests.pod import JOB, QUICK, custom
from tests.s3server import running_s3_server
from trainingjob.config import parse_config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.storage.address import store_at
from trainingjob.storage.s3settings import KEYS, environment_of, read_settings

RUN = "run/output"


@pytest.fixture(scope="module")
def server():
    with running_s3_server() as server:
        yield server


@pytest.fixture
def places(server, tmp_path):
    """The demonstration's job with its data in a bucket of one user, and what it stores in one of another."""
    suffix = secrets.token_hex(4)
    data, stored = f"data-{suffix}", f"stored-{suffix}"
    reads, writes = server.owner(data), server.owner(stored)
    config = with_parameters(demo_config(tmp_path), nEstimators=60)
    (server.folder / data / "rows.csv").write_bytes((tmp_path / "diabetes.csv").read_bytes())
    config["trainer"]["tabular"]["dataset"]["source"] = f"s3://{data}/rows.csv"
    config["storage"] = {
        "checkpoints": f"s3://{stored}/run/checkpoints",
        "output": f"s3://{stored}/{RUN}",
        "s3": {"endpoint": server.endpoint, "region": "us-east-1", "pathStyle": True},
        "keys": {f"s3://{data}/rows.csv": reads},
    }
    for place in ("checkpoints", "output"):
        config["storage"]["keys"][config["storage"][place]] = writes
    return {**config, "job": JOB, "agent": QUICK}


def test_data_are_read_with_one_key_and_the_model_is_stored_with_another(places, server, start):
    operator, pod = start(places)
    final = operator.wait_for_final()
    assert (final["outcome"], final["output"]["uri"]) == ("Succeeded", places["storage"]["output"])
    bucket = places["storage"]["output"].split("/")[2]
    assert (server.folder / bucket / RUN / "metrics.json").exists()
    assert (server.folder / bucket / RUN / "final.json").exists()
    told = pod.log.read_text() + json.dumps(operator.requests)
    assert not any(key["AWS_SECRET_ACCESS_KEY"] in told for key in places["storage"]["keys"].values())


def test_key_that_may_not_read_the_data_is_a_fault_of_the_data(places, start):
    keys = places["storage"]["keys"]
    source = places["trainer"]["tabular"]["dataset"]["source"]
    keys[source] = keys[places["storage"]["output"]]
    final = start(places)[0].wait_for_final()
    assert (final["exitCode"], final["reason"]) == (3, "DataInvalid")
    assert f"{source} cannot be read: get_object in" in final["message"]
    assert "was refused with 403 AccessDenied" in final["message"]


def test_agent_whose_key_may_not_write_says_so_before_it_trains(places, server, start):
    keys = places["storage"]["keys"]
    keys[places["storage"]["output"]] = keys[places["trainer"]["tabular"]["dataset"]["source"]]
    operator, pod = start(places)
    final = operator.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (6, "ArtifactsFailed")
    assert f"{places['storage']['output']} cannot be written: put_object in" in final["message"]
    assert operator.of_type("dataset") == []
    told = pod.log.read_text() + json.dumps(operator.requests)
    assert not any(key["AWS_SECRET_ACCESS_KEY"] in told for key in keys.values())


def test_custom_trainer_has_the_keys_of_what_it_stores_and_no_other(server, start):
    bucket = f"custom-{secrets.token_hex(4)}"
    writes = server.owner(bucket)
    program = f"""
        import json, os
        from pathlib import Path
        from trainingjob import checkpoints
        assert list(json.loads(os.environ["{KEYS}"])) == ["s3://{bucket}/c"], os.environ["{KEYS}"]
        folder = Path("state"); folder.mkdir(); (folder / "weight").write_text("1.5")
        checkpoints.save(folder, 3)
    """
    s3 = {"endpoint": server.endpoint, "region": "us-east-1", "pathStyle": True}
    keys = {f"s3://{bucket}/c": writes, "s3://elsewhere/rows.csv": {"AWS_ACCESS_KEY_ID": "x"}}
    storage = {"checkpoints": f"s3://{bucket}/c", "output": None, "s3": s3, "keys": keys}
    operator, _pod = start({**custom(program), "storage": storage})
    final = operator.wait_for_final()
    assert final["outcome"] == "Succeeded", final
    assert (server.folder / bucket / "c" / "checkpoint-3" / "weight").read_text() == "1.5"


ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "env",
    "AWS_SECRET_ACCESS_KEY": "env-secret",
    "AWS_SESSION_TOKEN": "env-token",
    "AWS_REGION": "env-region",
    KEYS: json.dumps(
        {
            "s3://b/x": {"AWS_ACCESS_KEY_ID": "outer"},
            "s3://b/x/y": {"AWS_ACCESS_KEY_ID": "inner", "AWS_REGION": "own"},
        }
    ),
}


@pytest.mark.parametrize(
    ("address", "key", "token", "region"),
    [
        ("s3://b/other", "env", "env-token", "env-region"),
        ("s3://b/x", "outer", None, "env-region"),
        ("s3://b/x/z", "outer", None, "env-region"),
        ("s3://b/xx", "env", "env-token", "env-region"),
        ("s3://b/x/y/z", "inner", None, "own"),
    ],
)
def test_key_of_an_address_is_whole_and_the_nearest(address, key, token, region):
    found = environment_of(address, ENVIRONMENT)
    assert (found["AWS_ACCESS_KEY_ID"], found.get("AWS_SESSION_TOKEN"), found["AWS_REGION"]) == (key, token, region)


def test_half_a_key_is_not_completed_from_the_environment():
    with pytest.raises(TrainingError, match=r"not set: AWS_SECRET_ACCESS_KEY; s3:// addresses need a key"):
        read_settings(environment_of("s3://b/x", ENVIRONMENT))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ([], "storage.keys: must be an object of variables by address"),
        ({"s3://b": "hidden"}, "storage.keys: s3://b: must be an object of texts"),
        (
            {"s3://b": {"PASSWORD": "hidden"}},
            "storage.keys: s3://b: PASSWORD is not known. Known here: AWS_ACCESS_KEY_ID",
        ),
        (
            {"s3://b": {"AWS_ENDPOINT_URL": "s3.example.com"}},
            "AWS_ENDPOINT_URL of the Secret for s3://b: must be an address such as https://s3.example.com",
        ),
    ],
)
def test_keys_that_cannot_be_used(keys, sentence):
    with pytest.raises(TrainingError) as caught:
        parse_config({**custom("pass"), "storage": {"checkpoints": None, "output": None, "keys": keys}})
    assert caught.value.code == ExitCode.CONFIGURATION
    assert sentence in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_keys_that_are_no_json_are_not_shown(monkeypatch):
    monkeypatch.setenv(KEYS, '{"s3://b": hidden}')
    with pytest.raises(TrainingError, match=r"TRAININGJOB_S3_KEYS: is not JSON$"):
        store_at("s3://bucket/x")


def test_configuration_shows_no_key():
    keys = {"s3://b/x": {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "hidden"}}
    storage = {"checkpoints": "s3://b/x", "output": None, "keys": keys}
    assert "hidden" not in repr(parse_config({**custom("pass"), "storage": storage}).storage)

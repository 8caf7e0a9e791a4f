"""Storage in a bucket, on a real S3 server, and what becomes of it when the network or the server fails."""

import json
import os
import secrets
import sys

import pytest

from tests.demojob import demo_config, of_type, with_parameters
from tests.finished import lasting, run
from tests.pod import JOB, QUICK, custom
from tests.s3proxy import Fault, S3Proxy
from tests.s3server import running_s3_server
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.storage import s3
from trainingjob.storage.address import check_writable, store_at
from trainingjob.storage.manifest import Damaged, fetch_verified, store_verified, verify
from trainingjob.storage.s3settings import VARIABLES, read_settings
from trainingjob.storage.store import StorageError

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def server():
    with running_s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(server):
    proxy = S3Proxy(server.endpoint)
    yield proxy
    proxy.close()


@pytest.fixture
def bucket(server, proxy, monkeypatch):
    """A new bucket, which this process reaches through the proxy. Waits between tries are short."""
    name = f"bucket-{secrets.token_hex(4)}"
    (server.folder / name).mkdir()
    proxy.faults, proxy.seen = [], []
    for variable, value in server.environment(proxy.endpoint).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("TRAININGJOB_S3_PATIENCE_SECONDS", "20")
    monkeypatch.setattr(s3, "_FIRST_WAIT_SECONDS", 0.01)
    return name


def fails(proxy, words, action, times=1, **more):
    proxy.faults.append(Fault(lambda request: words in request, action, times, **more))


@pytest.fixture(params=["folder", "bucket"])
def uri(request, tmp_path):
    """The same tests for both kinds of storage."""
    if request.param == "folder":
        return (tmp_path / "store").as_uri()
    return f"s3://{request.getfixturevalue('bucket')}/some/prefix"


class TestEveryStore:
    @pytest.mark.parametrize("content", [b"", b"small", bytes(range(256)) * 5000], ids=["empty", "small", "larger"])
    def test_what_is_written_is_read(self, uri, tmp_path, content):
        store = store_at(uri)
        store.write("file.bin", content)
        assert store.read("file.bin") == content
        (tmp_path / "local").write_bytes(content)
        store.upload(tmp_path / "local", "copy.bin")
        store.download("copy.bin", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content
        assert store.digest("copy.bin") == store.digest("file.bin")
        assert store.digest("copy.bin").bytes == len(content)

    def test_file_is_replaced(self, uri):
        store = store_at(uri)
        for content in (b"old and longer", b"new"):
            store.write("file", content)
        assert store.read("file") == b"new"

    @pytest.mark.parametrize("name", ["two words", "umläut", "a#b?c", "folder/file"])
    def test_names(self, uri, name):
        store = store_at(uri)
        store.write(name, b"x")
        assert store.read(name) == b"x"

    def test_what_is_not_there(self, uri, tmp_path):
        store = store_at(uri)
        for read in (store.read, store.digest, lambda name: store.download(name, tmp_path / "x")):
            with pytest.raises(FileNotFoundError):
                read("nothing")
        assert store.folders() == []
        store.remove("nothing")

    def test_folders_and_their_removal(self, uri):
        store = store_at(uri)
        for name in ("checkpoint-20/a", "checkpoint-20/b", "checkpoint-200/a", "file"):
            store.write(name, b"x")
        assert store.folders() == ["checkpoint-20", "checkpoint-200"]
        store.remove("checkpoint-20")
        assert store.folders() == ["checkpoint-200"]
        store.remove("file")
        with pytest.raises(FileNotFoundError):
            store.read("file")

    def test_proof_by_manifest(self, uri, tmp_path):
        source = tmp_path / "source"
        source.mkdir()
        (source / "a.bin").write_bytes(bytes(range(256)))
        (source / "b.json").write_text("{}")
        sha = store_verified(source, uri, 60, "1.2.3")
        verify(uri, sha)
        (tmp_path / "back").mkdir()
        fetch_verified(uri, tmp_path / "back", sha)
        assert (tmp_path / "back" / "a.bin").read_bytes() == bytes(range(256))
        with pytest.raises(Damaged, match=r"manifest\.json reads back with other content"):
            verify(uri, "0" * 64)
        store = store_at(uri)
        store.write("a.bin", bytes(256))
        for check in (lambda: verify(uri, sha), lambda: fetch_verified(uri, tmp_path / "back", sha)):
            with pytest.raises(Damaged, match=r"a\.bin reads back with other content than was written"):
                check()
        store.remove("a.bin")
        with pytest.raises(Damaged, match="cannot be read back"):
            verify(uri, sha)

    def test_probe_leaves_nothing(self, uri):
        check_writable(uri)
        with pytest.raises(FileNotFoundError):
            store_at(uri).read(".write-test")


def test_more_objects_than_one_page_lists(bucket, server):
    for number in range(1100):
        folder = server.folder / bucket / "run" / f"checkpoint-{number}"
        folder.mkdir(parents=True)
        (folder / "a").touch()
    assert len(store_at(f"s3://{bucket}/run").folders()) == 1100


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file of three parts, the last one smaller."""
    monkeypatch.setattr(s3, "_PART_BYTES", 5 * MEBIBYTE)
    path = tmp_path / "large"
    path.write_bytes(secrets.token_bytes(11 * MEBIBYTE))
    return path


def unfinished(bucket):
    return s3._client(read_settings(os.environ)).list_multipart_uploads(Bucket=bucket).get("Uploads", [])


@pytest.mark.parametrize("action", ["cut request", "lose answer", 503, 500])
def test_part_that_was_cut_is_sent_again_and_no_other(bucket, proxy, large, action):
    fails(proxy, "partNumber=2", action, times=2)
    store = store_at(f"s3://{bucket}/x")
    heard: list[int] = []
    store.upload(large, "large", heard.append)
    # A part that is sent again is none more.
    assert (len(heard), sum(heard)) == (3, large.stat().st_size)
    assert [proxy.count(f"partNumber={number}") for number in (1, 2, 3)] == [1, 3, 1]
    store.download("large", large.with_name("back"))
    assert large.with_name("back").read_bytes() == large.read_bytes()
    assert unfinished(bucket) == []


@pytest.mark.parametrize("words", ["?uploads", "POST"])
@pytest.mark.parametrize("action", ["cut request", "lose answer", 503])
def test_beginning_and_end_of_an_upload_may_be_cut_as_well(bucket, proxy, large, words, action):
    # The requests that begin and end an upload are the ones that post.
    fails(proxy, words, action)
    store = store_at(f"s3://{bucket}/x")
    store.upload(large, "large")
    store.download("large", large.with_name("back"))
    assert large.with_name("back").read_bytes() == large.read_bytes()


@pytest.mark.parametrize("times", [1, 2])
def test_end_of_an_upload_whose_answer_is_lost(bucket, proxy, large, times):
    proxy.faults.append(Fault(lambda request: "POST" in request and "uploadId=" in request, "lose answer", times))
    store = store_at(f"s3://{bucket}/x")
    store.upload(large, "large")
    assert store.digest("large").bytes == 11 * MEBIBYTE
    assert proxy.faults[0].times == 0


def test_upload_that_cannot_be_finished_leaves_the_old_object_and_no_parts(bucket, proxy, large, monkeypatch):
    store = store_at(f"s3://{bucket}/x")
    store.write("large", b"the last good state")
    monkeypatch.setenv("TRAININGJOB_S3_PATIENCE_SECONDS", "0.5")
    fails(proxy, "partNumber=3", "cut request", times=1000)
    with pytest.raises(StorageError, match=r"upload_part got no answer from .*; check the endpoint and the network"):
        store_at(f"s3://{bucket}/x").upload(large, "large")
    assert store.read("large") == b"the last good state"
    assert unfinished(bucket) == []


@pytest.mark.parametrize("action", ["cut answer", "cut request", "lose answer", 503])
@pytest.mark.parametrize("operation", ["read", "digest", "download"])
def test_answer_that_was_cut_is_asked_for_again(bucket, proxy, tmp_path, operation, action):
    store = store_at(f"s3://{bucket}/x")
    content = secrets.token_bytes(3 * MEBIBYTE)
    store.write("file", content)
    fails(proxy, "GET", action, times=2)
    if operation == "read":
        assert store.read("file") == content
    elif operation == "digest":
        assert store.digest("file").bytes == len(content)
    else:
        store.download("file", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content
    assert proxy.count("GET") == 3


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "model").write_bytes(b"weights")
    return folder


def refusal(checkpoint, uri):
    with pytest.raises(TrainingError) as caught:
        store_verified(checkpoint, uri, 1, "1")
    assert caught.value.code == ExitCode.ARTIFACTS
    return str(caught.value)


def test_server_that_says_nothing(bucket, proxy, checkpoint, monkeypatch):
    monkeypatch.setenv("TRAININGJOB_S3_PATIENCE_SECONDS", "0.5")
    fails(proxy, "PUT", "hold", times=100)
    words = refusal(checkpoint, f"s3://{bucket}/c")
    assert f"s3://{bucket}/c cannot be written: put_object got no answer from {proxy.endpoint} for 0.5 s" in words


def test_nobody_at_the_address(bucket, checkpoint, monkeypatch):
    monkeypatch.setenv("TRAININGJOB_S3_PATIENCE_SECONDS", "0.2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "got no answer from http://127.0.0.1:9" in refusal(checkpoint, f"s3://{bucket}/c")


def test_right_that_is_missing_is_said_at_once(bucket, proxy, server, checkpoint):
    fails(proxy, "PUT", 403, times=100, message=f"who are you, {server.secret_key}?")
    words = refusal(checkpoint, f"s3://{bucket}/c")
    assert "was refused with 403 AccessDenied: who are you, …?; give the key the rights to list, read, write" in words
    assert proxy.count("PUT") == 1
    assert server.secret_key not in words


def test_wrong_secret(bucket, server, checkpoint, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    words = refusal(checkpoint, f"s3://{bucket}/c")
    assert "403 SignatureDoesNotMatch" in words
    assert "or check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the region" in words
    assert "not-the-secret" not in words


def test_bucket_that_is_missing(bucket, checkpoint):
    words = refusal(checkpoint, "s3://no-such-bucket/c")
    assert "the bucket no-such-bucket is not there" in words
    assert words.endswith("make it, or correct the uri")
    with pytest.raises(TrainingError, match="the bucket no-such-bucket is not there") as caught:
        check_writable("s3://no-such-bucket/c")
    # On another host it would be missing as well: no fault of the host.
    assert caught.value.code == ExitCode.ARTIFACTS


def test_what_reads_back_differently_is_no_checkpoint(bucket, server, checkpoint, monkeypatch):
    uri = f"s3://{bucket}/c"
    store = store_at(uri)
    upload = type(store).upload

    def harmed(self, path, name, tell):
        upload(self, path, name, tell)
        if name == "model":
            (server.folder / bucket / "c" / "model").write_bytes(b"weighty")

    monkeypatch.setattr(s3.Bucket, "upload", harmed)
    assert "model reads back with other content than was written" in refusal(checkpoint, uri)


def test_storage_that_does_not_answer_is_not_damage(bucket, proxy, checkpoint, monkeypatch):
    uri = f"s3://{bucket}/c"
    store_verified(checkpoint, uri, 1, "1")
    monkeypatch.setenv("TRAININGJOB_S3_PATIENCE_SECONDS", "0.2")
    for action in (503, 403):
        proxy.faults = []
        fails(proxy, "GET", action, times=1000)
        with pytest.raises(TrainingError) as caught:
            verify(uri)
        # Whoever resumes must not begin anew because of it.
        assert not isinstance(caught.value, Damaged)
        assert caught.value.code == ExitCode.ARTIFACTS


def job_in(bucket, tmp_path):
    """The demonstration's job with data, checkpoints and output in the bucket."""
    config = with_parameters(demo_config(tmp_path), nEstimators=60)
    store_at(f"s3://{bucket}/data").upload(tmp_path / "diabetes.csv", "diabetes.csv")
    tabular = config["trainer"]["tabular"]
    dataset = {**tabular["dataset"], "source": f"s3://{bucket}/data/diabetes.csv"}
    storage = {"checkpoints": f"s3://{bucket}/run/checkpoints", "output": f"s3://{bucket}/run/output"}
    return {**config, "trainer": {"tabular": {**tabular, "dataset": dataset}}, "storage": storage}


def test_tabular_run_in_a_bucket_gives_what_it_gives_in_a_folder(bucket, server, tmp_path):
    config = job_in(bucket, tmp_path)
    done = run(tmp_path, config)
    (tmp_path / "again").mkdir()
    beside = run(tmp_path / "again", with_parameters(demo_config(tmp_path / "again"), nEstimators=60))
    output = server.folder / bucket / "run" / "output"
    assert done.code == ExitCode.SUCCESS
    assert lasting(json.loads((output / "metrics.json").read_text())) == beside.lasting_metrics
    verify(config["storage"]["output"])
    names = [path.name for path in (server.folder / bucket / "run" / "checkpoints").iterdir()]
    assert sorted(names) == [f"checkpoint-{step}" for step in beside.stored_checkpoints]


def test_storage_that_fails_in_the_middle_keeps_the_last_good_state(bucket, proxy, server, tmp_path):
    config = job_in(bucket, tmp_path)
    fails(proxy, "PUT /" + bucket + "/run/checkpoints/checkpoint-40/", 403, times=1000)
    with pytest.raises(TrainingError, match=r"checkpoint-40 cannot be written: .* 403 AccessDenied") as caught:
        run(tmp_path, config)
    assert caught.value.code == ExitCode.ARTIFACTS
    verify(f"{config['storage']['checkpoints']}/checkpoint-20")
    # And it can be gone on from when the right is there.
    proxy.faults = []
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    (good,) = (event for event in of_type(events, "checkpoint") if event["verified"])
    offered = {name: good[name] for name in ("uri", "step", "manifestSHA256")}
    (tmp_path / "events.jsonl").unlink()
    done = run(tmp_path, {**config, "resume": {"checkpoints": [offered]}})
    assert (done.code, of_type(done.events, "resumed")[0]["step"]) == (ExitCode.SUCCESS, 20)


def test_removal_that_fails_stops_nothing(bucket, proxy, tmp_path, capfd):
    config = job_in(bucket, tmp_path)
    fails(proxy, "DELETE", 403, times=1000)
    assert run(tmp_path, config).code == ExitCode.SUCCESS
    assert "is not needed any more and could not be removed" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("source", "code", "sentence"),
    [
        ("data/nothing.csv", ExitCode.DATA, "is not there; put the file into the bucket, or correct"),
        ("../data.csv", ExitCode.CONFIGURATION, "must not contain '..'"),
    ],
)
def test_data_that_cannot_be_read(bucket, tmp_path, source, code, sentence):
    config = job_in(bucket, tmp_path)
    config["trainer"]["tabular"]["dataset"]["source"] = f"s3://{bucket}/{source}"
    with pytest.raises(TrainingError) as caught:
        run(tmp_path, config)
    assert caught.value.code == code
    assert sentence in str(caught.value)


@pytest.mark.parametrize(("action", "code"), [(403, ExitCode.DATA), (503, ExitCode.ARTIFACTS)])
def test_data_that_may_be_read_later_are_no_bad_data(bucket, proxy, tmp_path, monkeypatch, action, code):
    config = job_in(bucket, tmp_path)
    monkeypatch.setenv("TRAININGJOB_S3_PATIENCE_SECONDS", "0.3")
    fails(proxy, "GET /" + bucket + "/data/", action, times=1000)
    with pytest.raises(TrainingError) as caught:
        run(tmp_path, config)
    assert caught.value.code == code


def agent_job(config, server, bucket):
    """As the operator sends it: keys in the job's environment, the server's address in the configuration."""
    known = server.environment()
    env = {name: known[name] for name in VARIABLES[:2]}
    s3 = {"endpoint": server.endpoint, "region": "us-east-1", "pathStyle": True}
    return {**config, "job": JOB, "agent": QUICK, "env": env, "storage": {**config["storage"], "s3": s3}}


def test_agent_from_bucket_to_bucket_and_no_secret_on_the_way(bucket, server, start, tmp_path):
    config = agent_job(job_in(bucket, tmp_path), server, bucket)
    operator, pod = start(config)
    final = operator.wait_for_final()
    assert (final["outcome"], final["output"]["uri"]) == ("Succeeded", f"s3://{bucket}/run/output")
    verify(final["output"]["uri"], final["output"]["manifestSHA256"])
    stored = json.loads((server.folder / bucket / "run" / "output" / "final.json").read_text())
    assert stored["final"]["outcome"] == "Succeeded"
    # A container that is started again finds its end in the bucket, and does not train again.
    trainings = len(operator.of_type("dataset"))
    pod.kill()
    pod.start()
    seen = len(operator.signs_of_life)
    operator.wait_for(lambda: len(operator.signs_of_life) > seen + 2)
    assert pod.end() == 0
    assert len(operator.of_type("dataset")) == trainings == 1
    told = pod.log.read_text() + json.dumps(operator.requests) + json.dumps(stored)
    assert server.secret_key not in told


def test_agent_without_its_bucket_says_so_before_it_trains(server, bucket, start):
    storage = {"storage": {"checkpoints": None, "output": "s3://no-such-bucket/out"}}
    operator, pod = start(agent_job({**custom("print('trained')"), **storage}, server, bucket))
    final = operator.wait_for_final()
    assert (final["exitCode"], final["reason"]) == (6, "ArtifactsFailed")
    assert "the bucket no-such-bucket is not there" in final["message"]
    assert server.secret_key not in pod.log.read_text() + json.dumps(operator.requests)


def test_custom_trainer_stores_in_the_bucket(server, bucket, start):
    program = """
        from pathlib import Path
        from trainingjob import checkpoints
        folder = Path("state"); folder.mkdir(); (folder / "weight").write_text("1.5")
        checkpoints.save(folder, 3)
    """
    storage = {"storage": {"checkpoints": f"s3://{bucket}/c", "output": None}}
    operator, _pod = start(agent_job({**custom(program), **storage}, server, bucket))
    assert operator.wait_for_final()["outcome"] == "Succeeded"
    (event,) = operator.of_type("checkpoint")
    verify(event["uri"], event["manifestSHA256"])
    assert (server.folder / bucket / "c" / "checkpoint-3" / "weight").read_text() == "1.5"


KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hidden"}


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "not set: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; s3:// addresses need a key"),
        ({"AWS_ACCESS_KEY_ID": "key"}, "not set: AWS_SECRET_ACCESS_KEY;"),
        ({**KEYS, "TRAININGJOB_S3_PATH_STYLE": "true"}, "TRAININGJOB_S3_PATH_STYLE: must be 1 or 0, not 'true'"),
        ({**KEYS, "AWS_ENDPOINT_URL": "s3.example.com"}, "AWS_ENDPOINT_URL: must be an address such as https://"),
        ({**KEYS, "AWS_ENDPOINT_URL": "https://a:b@s3.example.com"}, "must not contain a user or password"),
        ({**KEYS, "TRAININGJOB_S3_PATIENCE_SECONDS": "0"}, "must be a number of seconds above 0, not '0'"),
    ],
)
def test_settings_that_cannot_be_used(environment, sentence):
    with pytest.raises(TrainingError) as caught:
        read_settings(environment)
    assert caught.value.code == ExitCode.CONFIGURATION
    assert sentence in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_settings_show_no_secret():
    assert "hidden" not in repr(read_settings({**KEYS, "AWS_SESSION_TOKEN": "hidden as well"}))


@pytest.mark.parametrize("uri", ["s3://", "s3:///x", "s3://A/x", "s3://bucket name/x", "s3://bucket/../x"])
def test_address_that_is_none(uri, monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError) as caught:
        store_at(uri)
    assert caught.value.code == ExitCode.CONFIGURATION
    assert uri in str(caught.value)


def test_image_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "trainingjob.storage.s3", None)
    with pytest.raises(TrainingError, match=r"needs boto3, which is not in this image; install trainingjob\[s3\]"):
        store_at("s3://bucket/x")

"""Data from https:// addresses: whole, or a sentence; and what signs an address stands nowhere."""

import hashlib
import json
import shutil
import time
from types import SimpleNamespace

import pytest

from tests.demojob import demo_config, of_type, read_events
from tests.finished import run
from tests.httpsserver import Fault, HttpsServer
from tests.pod import JOB, QUICK
from trainingjob import https
from trainingjob.agent.launch import secret_values
from trainingjob.config import parse_config
from trainingjob.datafile import data_file
from trainingjob.datasource import DataSource
from trainingjob.exitcodes import ExitCode, TrainingError

ROWS = bytes(index % 251 for index in range(3_000_000))
SECRET = "X-Signature=AbCdEf%2F0123456789&X-Expires=60"


@pytest.fixture
def server(tmp_path, monkeypatch):
    server = HttpsServer(tmp_path)
    server.files["/rows.bin"] = ROWS
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
    monkeypatch.setenv(https.PATIENCE, "3")
    monkeypatch.setattr(https, "_FIRST_WAIT_SECONDS", 0.01)
    yield server
    server.close()


def source(server, path="/rows.bin", **members):
    return DataSource("spec.trainer.tabular.dataset", server.url + path, **members)


def fetched(data):
    with data_file(data) as file:
        return file.path.read_bytes()


def refused(data):
    with pytest.raises(TrainingError) as caught, data_file(data):
        pass
    return caught.value.code, str(caught.value)


def test_file_is_fetched_and_its_bytes_are_told(server, monkeypatch, tmp_path):
    monkeypatch.setenv("TRAININGJOB_EVENTS", str(tmp_path / "events"))
    monkeypatch.setattr(https, "_TELL_SECONDS", 0.0)
    with data_file(source(server)) as file:
        assert file.path.read_bytes() == ROWS
        assert (file.sha256, file.revision) == (hashlib.sha256(ROWS).hexdigest(), None)
    assert not file.path.exists()
    told = [event["detail"] for event in of_type(read_events(tmp_path / "events"), "stage")]
    assert told[0] == f"{server.url}/rows.bin"
    assert told[-1] == f"{server.url}/rows.bin: 3.0 MB of 3.0 MB"


def test_after_a_cut_only_the_rest_is_asked_for(server):
    server.faults = [Fault(cut_after=1_000_000), Fault(cut_after=500_000)]
    assert fetched(source(server)) == ROWS
    assert [wanted for _, wanted in server.requests] == [None, "bytes=1000000-", "bytes=1500000-"]


@pytest.mark.parametrize("missing", ["tags", "ranges"])
def test_server_that_sends_no_parts_is_asked_again_from_the_beginning(server, missing):
    setattr(server, missing, False)
    server.faults = [Fault(cut_after=1_000_000)]
    assert fetched(source(server)) == ROWS


def test_file_that_changed_meanwhile_is_had_whole(server, monkeypatch):
    server.faults = [Fault(cut_after=1_000_000)]
    sleep = time.sleep

    def changing(seconds):
        server.files["/rows.bin"] = ROWS[::-1]
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", changing)
    assert fetched(source(server)) == ROWS[::-1]


def test_what_passes_is_waited_for(server, monkeypatch):
    monkeypatch.setenv(https.PATIENCE, "20")
    server.faults = [Fault(status=503, headers={"Retry-After": "1"}), Fault(status=429)]
    assert fetched(source(server)) == ROWS


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault(status=500, times=99), "it answers 500"),
        (Fault(cut_after=0, times=99), "it was cut off after 0 of 3000000 bytes"),
        (Fault(silent=True, times=99), "timed out"),
    ],
)
def test_server_that_gives_no_file_is_given_up(server, monkeypatch, fault, sentence):
    monkeypatch.setenv(https.PATIENCE, "0.3")
    server.faults = [fault]
    code, words = refused(source(server, query=SECRET))
    assert (code, sentence in words) == (ExitCode.ARTIFACTS, True), words
    assert "AbCdEf" not in words


def test_tries_have_a_bound_though_each_brings_some_bytes(server, monkeypatch):
    monkeypatch.setattr(https, "_MOST_TRIES", 4)
    server.faults = [Fault(cut_after=10, times=99)]
    assert refused(source(server))[0] == ExitCode.ARTIFACTS
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_address_that_is_not_good_any_more_names_the_field(server, status):
    server.faults = [Fault(status=status)]
    code, words = refused(source(server, query=SECRET))
    assert (code, len(server.requests)) == (ExitCode.DATA, 1)
    assert (
        f"{server.url}/rows.bin cannot be read: it answers {status}; a signed address expires: sign a new one" in words
    )
    assert "in spec.trainer.tabular.dataset.source" in words
    assert "AbCdEf" not in words


def test_redirect_is_followed_to_https_alone(server):
    server.faults = [Fault(status=302, headers={"Location": "/rows.bin?moved=1"})]
    assert fetched(source(server, "/old")) == ROWS
    server.faults = [Fault(status=302, headers={"Location": "http://localhost:1/rows.bin?key=AbCdEf"})]
    code, words = refused(source(server, "/old"))
    assert code == ExitCode.DATA
    assert "it sends on to http://localhost, and only https:// is followed" in words
    assert "AbCdEf" not in words


def test_certificate_that_is_not_good_is_refused_at_once(server, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    code, words = refused(source(server))
    assert code == ExitCode.DATA
    assert "its certificate is not good" in words
    assert "SSL_CERT_FILE" in words


def test_file_that_the_disk_will_not_hold_is_not_begun(server, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    code, words = refused(source(server))
    assert code == ExitCode.ARTIFACTS
    assert "has 3.0 MB, and the container's disk 0.0 MB free; raise spec.compute.containerDiskGB" in words


def test_file_with_another_sum_is_not_trained_on(server):
    right, wrong = hashlib.sha256(ROWS).hexdigest(), "0" * 64
    assert fetched(source(server, sha256=right)) == ROWS
    code, words = refused(source(server, sha256=wrong))
    assert code == ExitCode.DATA
    assert f"has the SHA-256 {right}, and spec.trainer.tabular.dataset.sha256 wants {wrong}" in words


def test_tabular_job_trains_on_a_signed_address_and_tells_nobody_what_signs_it(server, tmp_path):
    config = signed_job(server, tmp_path)
    done = run(tmp_path, config)
    assert done.code == ExitCode.SUCCESS
    output = [path.read_bytes() for path in (tmp_path / "output").iterdir()]
    told = json.dumps(done.events).encode() + b"".join(output)
    assert f"{server.url}/diabetes.csv".encode() in told
    assert b"AbCdEf" not in told
    assert SECRET.encode() not in repr(parse_config(config).trainer).encode()


def test_agent_hides_what_signs_an_address(server, start, tmp_path):
    config = signed_job(server, tmp_path)
    operator, pod = start(config | {"job": JOB, "agent": QUICK}, env={"SSL_CERT_FILE": str(server.authority)})
    assert operator.wait_for_final()["outcome"] == "Succeeded"
    server.signed["/diabetes.csv"] = "another"
    assert pod.end() == 0
    told = pod.log.read_text() + json.dumps(operator.requests)
    assert f"{server.url}/diabetes.csv" in told
    assert "AbCdEf" not in told


def test_what_signs_is_among_the_values_that_the_agent_hides(server, tmp_path):
    hidden = secret_values(parse_config(signed_job(server, tmp_path)), {})
    assert {SECRET, "AbCdEf%2F0123456789", "AbCdEf/0123456789"} <= set(hidden)
    assert "60" not in hidden


def signed_job(server, folder):
    config = demo_config(folder)
    server.files["/diabetes.csv"] = (folder / "diabetes.csv").read_bytes()
    server.signed["/diabetes.csv"] = SECRET
    config["trainer"]["tabular"]["dataset"]["source"] = f"{server.url}/diabetes.csv?{SECRET}"
    return config

"""The port at which the operator calls: what it gives to whom, and what it takes from whom."""

import json
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.operatorserver import TOKEN, OperatorServer
from tests.pod import REPORTS, Pod, custom
from tests.puller import PORT, exchange, free_address, raw_exchange, turn
from tests.waiting import PATIENCE_SECONDS
from trainingjob.agent import pull, pullserver
from trainingjob.agent.identity import read_identity
from trainingjob.agent.pull import PullLine
from trainingjob.agent.pullserver import serve_turns
from trainingjob.agent.seal import NONCE_BYTES, opened, sealed
from trainingjob.exitcodes import TrainingError

VECTORS = json.loads((Path(__file__).parents[2] / "test" / "data" / "seal-vectors.json").read_text())["vectors"]
ENVIRONMENT = {
    "TRAININGJOB_UID": "u",
    "TRAININGJOB_NAMESPACE": "n",
    "TRAININGJOB_NAME": "j",
    "TRAININGJOB_ATTEMPT": "1",
    "TRAININGJOB_TOKEN": TOKEN,
    "RUNPOD_POD_ID": "pod",
}


@pytest.fixture
def line():
    return PullLine(read_identity({**ENVIRONMENT, "TRAININGJOB_PORT": "8477"}))


@pytest.fixture
def address(line):
    address = free_address()
    serve_turns(address, line.turn)
    return address


class Asking(threading.Thread):
    """Asks one question, and keeps the answer."""

    def __init__(self, line, body):
        super().__init__(daemon=True)
        self._line, self._body = line, body
        self.start()

    def run(self):
        self.answer = self._line.ask("events", self._body)

    def result(self):
        self.join(PATIENCE_SECONDS)
        return self.answer


def call(answer=None, wait=PATIENCE_SECONDS):
    return {"answer": answer, "waitSeconds": wait}


def answer_to(question, status=200, body=None):
    return {"id": question["id"], "status": status, "body": body, "retryAfterSeconds": None}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_messages_are_those_of_the_operator(vector):
    context, text, nonce, message = (bytes.fromhex(vector[name]) for name in ("context", "text", "nonce", "message"))
    assert sealed(vector["token"], vector["sender"], context, text, nonce) == message
    assert opened(vector["token"], vector["sender"], context, message) == text


def test_message_that_was_touched_or_belongs_elsewhere_is_none():
    message = sealed(TOKEN, "operator", b"", b"text")
    assert opened(TOKEN, "operator", b"", message) == b"text"
    for index in range(len(message)):
        touched = bytearray(message)
        touched[index] ^= 1
        assert opened(TOKEN, "operator", b"", bytes(touched)) is None
    assert opened("another", "operator", b"", message) is None
    assert opened(TOKEN, "agent", b"", message) is None
    assert opened(TOKEN, "operator", bytes(NONCE_BYTES), message) is None
    for length in range(len(message)):
        assert opened(TOKEN, "operator", b"", message[:length]) is None


def test_same_text_is_never_the_same_message():
    assert sealed(TOKEN, "agent", b"", b"text") != sealed(TOKEN, "agent", b"", b"text")


def test_strangers_get_nothing_and_change_nothing(line, address):
    asking = Asking(line, {"secret": "words"})
    _, question = turn(address, TOKEN, call())
    forged = call(answer_to(question, 410))
    good = sealed(TOKEN, "operator", b"", json.dumps(forged).encode())
    for message in (
        b"",
        b"{}",
        json.dumps(forged).encode(),
        sealed("another", "operator", b"", json.dumps(forged).encode()),
        # What the agent itself says is no word of the operator.
        sealed(TOKEN, "agent", b"", json.dumps(forged).encode()),
        good[:-1],
        good + b"x",
        sealed(TOKEN, "operator", b"", b"not JSON"),
        sealed(TOKEN, "operator", b"", b"[]"),
    ):
        assert exchange(address, message) == (401, b"")
    assert turn(address, TOKEN, call(answer_to(question, 200, {"taken": True}), wait=0)) == (200, None)
    assert (asking.result().status, asking.result().body) == (200, {"taken": True})


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("POST / HTTP/1.1", "Content-Length: 3", 404),
        ("POST /v1/turn/../turn HTTP/1.1", "Content-Length: 3", 404),
        ("GET /v1/turn HTTP/1.1", "", 501),
        ("POST /v1/turn HTTP/1.1", "", 411),
        ("POST /v1/turn HTTP/1.1", "Transfer-Encoding: chunked", 411),
        ("POST /v1/turn HTTP/1.1", "Content-Length: -1", 411),
        ("POST /v1/turn HTTP/1.1", "Content-Length: 8388609", 413),
        ("POST /v1/turn HTTP/1.1", f"Content-Length: {'9' * 5000}", 413),
        ("POST /v1/turn HTTP/1.1", f"X: {'x' * 70000}", 431),
    ],
)
def test_request_of_another_form(address, request_line, headers, status):
    assert raw_exchange(address, f"{request_line}\r\nHost: pod\r\n{headers}\r\n\r\n".encode())[0] == status


def test_question_is_shown_until_it_is_answered(line, address):
    asking = Asking(line, {"sequence": 1})
    _, first = turn(address, TOKEN, call())
    assert first["body"] == {"sequence": 1}
    # The operator was killed, or the reply was lost.
    assert turn(address, TOKEN, call())[1] == first
    assert turn(address, TOKEN, call(answer_to({"id": "another"})))[1] == first
    assert turn(address, TOKEN, call(answer_to(first, 503), wait=0)) == (200, None)
    assert asking.result().status == 503


def test_answer_that_was_recorded_and_is_sent_again_answers_nothing(line, address):
    asking = Asking(line, {})
    _, question = turn(address, TOKEN, call())
    recorded = sealed(TOKEN, "operator", b"", json.dumps(call(answer_to(question, 200), wait=0)).encode())
    assert exchange(address, recorded)[0] == 200
    assert asking.result().status == 200
    later = Asking(line, {})
    _, next_question = turn(address, TOKEN, call())
    assert exchange(address, recorded)[0] == 200
    assert turn(address, TOKEN, call(wait=0))[1] == next_question
    turn(address, TOKEN, call(answer_to(next_question, 410), wait=0))
    assert later.result().status == 410


def test_call_waits_for_a_question_no_longer_than_it_wants_to(line, address):
    assert turn(address, TOKEN, call(wait=0)) == (200, None)
    assert turn(address, TOKEN, {}) == (200, None)
    waiting: list[object] = []
    caller = threading.Thread(target=lambda: waiting.append(turn(address, TOKEN, call())[1]), daemon=True)
    caller.start()
    asking = Asking(line, {"sequence": 7})
    caller.join(PATIENCE_SECONDS)
    (question,) = waiting
    assert isinstance(question, dict) and question["body"] == {"sequence": 7}
    turn(address, TOKEN, call(answer_to(question), wait=0))
    assert asking.result().status == 200


def test_question_that_nobody_comes_for_is_put_again(line, monkeypatch):
    monkeypatch.setattr(pull, "_PATIENCE_SECONDS", 0.05)
    answer = line.ask("config", None)
    assert (answer.status, answer.detail) == (0, "the operator did not call for it")


def test_renewed_token_is_the_only_one_that_opens(line, address):
    line.renew("a-newer-one")
    assert turn(address, TOKEN, call(wait=0)) == (401, None)
    assert turn(address, "a-newer-one", call(wait=0)) == (200, None)


def test_whoever_sends_a_byte_at_a_time_is_cut_off(line, monkeypatch):
    monkeypatch.setattr(pullserver, "_READ_SECONDS", 0.3)
    address = free_address()
    serve_turns(address, line.turn)
    with socket.create_connection(address, timeout=PATIENCE_SECONDS) as connection:
        connection.settimeout(0.05)
        sent, ended = 0, False
        with suppress(ConnectionError):
            while not ended:
                assert sent < 1000
                connection.sendall(b"P")
                sent += 1
                with suppress(TimeoutError):
                    ended = connection.recv(1) == b""
    assert turn(address, TOKEN, call(wait=0)) == (200, None)


def test_connections_over_the_limit_are_closed_at_once(line, monkeypatch):
    monkeypatch.setattr(pullserver, "_MOST_CONNECTIONS", 2)
    address = free_address()
    serve_turns(address, line.turn)
    held = [socket.create_connection(address, timeout=PATIENCE_SECONDS) for _ in range(2)]
    assert turn(address, TOKEN, call(wait=0)) == (0, None)
    for connection in held:
        connection.close()
    while turn(address, TOKEN, call(wait=0)) == (0, None):
        pass


def test_port_that_is_taken_is_said(tmp_path):
    server = OperatorServer(custom(REPORTS))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host, port = taken.getsockname()
        pod = Pod(tmp_path / "disk", server, "pull", **{f"TRAININGJOB_LISTEN_{PORT}": f"{host}:{port}"})
        assert pod.process.wait(PATIENCE_SECONDS) == 7
    server.close()
    assert "leave this port of the container to the agent" in pod.log.read_text()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "exactly one of TRAININGJOB_URL and TRAININGJOB_PORT must be set"),
        ({"TRAININGJOB_URL": "https://o", "TRAININGJOB_PORT": "8477"}, "exactly one of TRAININGJOB_URL and"),
        ({"TRAININGJOB_PORT": "http"}, "TRAININGJOB_PORT: must be a port"),
        ({"TRAININGJOB_PORT": "65536"}, "TRAININGJOB_PORT: must be a port"),
        ({"TRAININGJOB_PORT": "8477", "TRAININGJOB_LISTEN_8477": "here"}, "TRAININGJOB_LISTEN_8477 an address"),
    ],
)
def test_environment_says_one_way(changes, sentence):
    with pytest.raises(TrainingError, match=sentence):
        read_identity({**ENVIRONMENT, **changes})


def test_environment_says_where_to_listen():
    assert read_identity({**ENVIRONMENT, "TRAININGJOB_PORT": "8477"}).listen == ("0.0.0.0", 8477)
    elsewhere = {"TRAININGJOB_PORT": "8477", "TRAININGJOB_LISTEN_8477": "127.0.0.1:20001"}
    assert read_identity({**ENVIRONMENT, **elsewhere}).listen == ("127.0.0.1", 20001)
    pushes = read_identity({**ENVIRONMENT, "TRAININGJOB_URL": "https://o/"})
    assert (pushes.url, pushes.listen) == ("https://o", None)

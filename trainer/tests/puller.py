"""The operator's side of a pull, for a real agent: calls it, and lets a server that speaks the operator's protocol answer."""

import itertools
import json
import socket
import threading
from contextlib import suppress
from typing import Any

from tests.operatorserver import TOKEN, OperatorServer
from trainingjob.agent.http import send
from trainingjob.agent.pullserver import TURN
from trainingjob.agent.seal import NONCE_BYTES, opened, sealed

PORT = 8477


def free_address() -> tuple[str, int]:
    """An address that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        return host, port


def exchange(address: tuple[str, int], message: bytes, path: str = TURN) -> tuple[int, bytes]:
    """One request as it is, with whatever body; status 0 when there was no answer."""
    head = f"POST {path} HTTP/1.1\r\nHost: pod\r\nContent-Length: {len(message)}\r\n\r\n".encode()
    return raw_exchange(address, head + message)


def raw_exchange(address: tuple[str, int], request: bytes) -> tuple[int, bytes]:
    """Any bytes, and what comes back."""
    with suppress(OSError), socket.create_connection(address, timeout=60) as connection:
        with suppress(OSError):
            connection.sendall(request)
        content = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = content.partition(b"\r\n\r\n")
        return (int(head.split()[1]), body) if head else (0, b"")
    return 0, b""


def turn(address: tuple[str, int], token: str, call: dict[str, Any]) -> tuple[int, Any]:
    """One call by who has this token; the second part is the agent's question."""
    message = sealed(token, "operator", b"", json.dumps(call).encode())
    status, reply = exchange(address, message)
    text = opened(token, "agent", message[:NONCE_BYTES], reply)
    return status, None if text is None else json.loads(text)["question"]


class Puller:
    """A thread that calls an agent until it is closed. A connection that the server cuts is an answer that is lost."""

    def __init__(self, address: tuple[str, int], server: OperatorServer, uid: str) -> None:
        self._address, self._server = address, server
        self._base = f"{server.url}/v1/jobs/{uid}/attempts/1"
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        answer, tokens = None, itertools.cycle((TOKEN, self._server.token))
        token = next(tokens)
        while not self._closed.is_set():
            status, question = turn(self._address, token, {"answer": answer, "waitSeconds": 0.5})
            if status == 401:
                token = next(tokens)
            if status != 200:
                self._closed.wait(0.05)
                continue
            answer = None if question is None else self._answered(question, token)

    def _answered(self, question: dict[str, Any], token: str) -> dict[str, Any] | None:
        headers = {"Authorization": f"Bearer {token}", "X-Runpod-Pod-Id": question["podID"]}
        method = "GET" if question["body"] is None else "POST"
        given = send(method, f"{self._base}/{question['kind']}", headers, question["body"])
        if given.status == 0:
            return None
        said = {"status": given.status, "body": given.body, "retryAfterSeconds": given.retry_after}
        return {"id": question["id"], **said}

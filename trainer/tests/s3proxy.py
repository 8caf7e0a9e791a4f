"""Between a client and an S3 server: passes everything on, but for the faults that a test asks for."""

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

# A status to refuse with, or what becomes of the connection: cut in the middle of the request, cut when the server has done
# its work and before the answer, cut in the middle of the answer, or held without a word.
Action = int | Literal["cut request", "lose answer", "cut answer", "hold"]

_CODES = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}


@dataclass
class Fault:
    """Befalls the next `times` requests whose method and target fit."""

    fits: Callable[[str], bool]
    action: Action
    times: int = 1
    message: str = "as the test wants it"


class S3Proxy:
    """A proxy with an address of its own. `seen` are methods and targets of all requests, in order."""

    def __init__(self, endpoint: str) -> None:
        self.host = urlsplit(endpoint).netloc
        self.faults: list[Fault] = []
        self.seen: list[str] = []
        self.lock = threading.Lock()
        self.closed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def count(self, words: str) -> int:
        """Requests whose method and target contain these words."""
        with self.lock:
            return sum(words in request for request in self.seen)

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()

    def fault_of(self, request: str) -> Fault | None:
        """Notes a request; the fault that befalls it."""
        with self.lock:
            self.seen.append(request)
            fault = next((fault for fault in self.faults if fault.times > 0 and fault.fits(request)), None)
            if fault is not None:
                fault.times -= 1
            return fault


def _handler(proxy: S3Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

        def _pass(self) -> None:
            fault = proxy.fault_of(f"{self.command} {self.path}")
            action = None if fault is None else fault.action
            length = int(self.headers.get("Content-Length", "0"))
            if action == "cut request":
                self.rfile.read(length // 2)
                self.close_connection = True
                return
            body = self.rfile.read(length)
            if action == "hold":
                proxy.closed.wait()
                self.close_connection = True
            elif isinstance(action, int) and fault is not None:
                words = f"<Error><Code>{_CODES[action]}</Code><Message>{fault.message}</Message></Error>"
                self._answer(action, [("Content-Type", "application/xml")], words.encode())
            else:
                self._forward(body, action)

        def _forward(self, body: bytes, action: Action | None) -> None:
            connection = http.client.HTTPConnection(proxy.host, timeout=60)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read()
            headers = [(name, value) for name, value in response.getheaders()]
            connection.close()
            if action == "lose answer":
                self.close_connection = True
            else:
                self._answer(response.status, headers, content, whole=action != "cut answer")

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, *, whole: bool = True) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content if whole else content[: len(content) // 2])
            self.close_connection = not whole

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

    return Handler

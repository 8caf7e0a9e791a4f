"""The port at which the operator calls. Anybody on the internet can reach it, so little is spent on whoever has no token."""

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from trainingjob.exitcodes import ExitCode, TrainingError

TURN = "/v1/turn"

# A configuration with all the environment that a job may have fits in.
_MOST_BYTES = 8 * 1024 * 1024
_MOST_DIGITS = 8
_MOST_CONNECTIONS = 16
_READ_SECONDS = 15.0
_WRITE_SECONDS = 30.0


def serve_turns(listen: tuple[str, int], turn: Callable[[bytes], bytes | None]) -> None:
    """Serves calls in threads of their own until the process ends; raises TrainingError when the port is taken."""
    try:
        server = _Server(listen, _handler(turn))
    except OSError as error:
        raise TrainingError(
            ExitCode.PREFLIGHT,
            f"cannot listen on {listen[0]}:{listen[1]}, where the operator calls: {error.strerror}; "
            "leave this port of the container to the agent",
        ) from error
    threading.Thread(target=server.serve_forever, name="pull", daemon=True).start()


class _Server(ThreadingHTTPServer):
    """A bounded number of connections; each serves one request, and who is slow is cut off."""

    daemon_threads = True

    def __init__(self, listen: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__(listen, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, *_: Any) -> None:
        """A caller that goes away is no news."""


class _UntilDeadline(io.RawIOBase):
    """What a socket receives until a point in time, whatever the pace: a time-out for each byte would let one come for days."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def _handler(turn: Callable[[bytes], bytes | None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            super().setup()
            self.rfile = io.BufferedReader(_UntilDeadline(self.connection, time.monotonic() + _READ_SECONDS))

        def version_string(self) -> str:
            return "trainingjob"

        def log_message(self, *_: Any) -> None:
            """Strangers must not fill the pod's log."""

        def do_POST(self) -> None:
            length = self.headers["Content-Length"] or ""
            if self.path != TURN:
                self._answer(404)
            elif not (length.isascii() and length.isdecimal()):
                self._answer(411)
            elif len(length) > _MOST_DIGITS or int(length) > _MOST_BYTES:
                self._answer(413)
            else:
                message = self.rfile.read(int(length))
                reply = turn(message) if len(message) == int(length) else None
                self._answer(401 if reply is None else 200, reply or b"")

        def _answer(self, status: int, content: bytes = b"") -> None:
            self.connection.settimeout(_WRITE_SECONDS)
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(content)

    return Handler

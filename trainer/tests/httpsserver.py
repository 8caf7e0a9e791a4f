"""Files over https, from a server of this machine whose certificate an authority of its own has signed."""

import hashlib
import re
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme


@dataclass
class Fault:
    """Befalls the next `times` requests: answered with `status` and `headers`, cut off after `cut_after` bytes of the body, or not
    answered at all until the server is closed (`silent`)."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    silent: bool = False
    times: int = 1


class HttpsServer:
    """`files` are served by their paths; those in `signed` want this query, or are answered with 403. `tags` and `ranges` off: a
    server that gives no ETag, and one that sends whole files alone. `requests` are paths with the Range that was asked for."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, bytes] = {}
        self.signed: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str | None]] = []
        self.tags = self.ranges = True
        self._over = threading.Event()
        authority = trustme.CA()
        self.authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(self.authority)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.server_address[1]}"

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, _, query = request.path.partition("?")
        wanted = request.headers.get("Range")
        self.requests.append((path, wanted))
        fault = self.faults[0] if self.faults else Fault()
        fault.times -= 1
        if self.faults and fault.times == 0:
            self.faults.pop(0)
        if fault.silent:
            self._over.wait(30)
            return None
        if fault.status is not None:
            return self._send(request, fault.status, b"", fault.headers)
        if path not in self.files:
            return self._send(request, 404, b"")
        if self.signed.get(path, query) != query:
            return self._send(request, 403, b"")
        content = self.files[path]
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"ETag": tag} if self.tags else {}
        start = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        if self.ranges and start is not None and request.headers.get("If-Range") in (None, tag):
            first = int(start[1])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            return self._send(request, 206, content[first:], headers, fault.cut_after)
        return self._send(request, 200, content, headers, fault.cut_after)

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        cut_after: int | None = None,
    ) -> None:
        request.send_response(status)
        for name, text in (headers or {}).items():
            request.send_header(name, text)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content if cut_after is None else content[:cut_after])
        request.close_connection = True

"""A stand-in for the Hugging Face Hub with the endpoints that huggingface_hub calls to download."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_KINDS = {"models": "", "datasets": "datasets/"}


class HubServer:
    """Serves folders: `repositories` has them by `models/OWNER/NAME` and `datasets/OWNER/NAME`. Each has one commit, `main`.

    `gated` repositories want the token "good"; `broken` answers everything with 500.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Path] = {}
        self.gated: set[str] = set()
        self.broken = False
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def commit(self, name: str) -> str:
        """Changes with what is in the folder."""
        folder = self.repositories[name]
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return hashlib.sha1(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        parts = unquote(urlsplit(request.path).path).strip("/").split("/")
        api = parts[0] == "api"
        if len(parts) < 4:
            # The library asks some more of the Hub than it needs.
            return self._send(request, 404, b"", body)
        kind = parts[1] if api else "datasets" if parts[0] == "datasets" else "models"
        owner, name, *rest = parts[2:] if api else parts[1:] if kind == "datasets" else parts
        repository = f"{kind}/{owner}/{name}"
        action, revision, *inner = rest or ["revision", "main"]
        path = "/".join(inner)
        if self.broken:
            return self._send(request, 500, b"", body)
        if repository not in self.repositories:
            return self._send(request, 401, b"", body, {"X-Error-Code": "RepoNotFound"})
        if repository in self.gated and request.headers.get("Authorization") != "Bearer good":
            return self._send(request, 403, b"", body, {"X-Error-Code": "GatedRepo"})
        commit = self.commit(repository)
        if revision not in ("main", commit):
            return self._send(request, 404, b"", body, {"X-Error-Code": "RevisionNotFound"})
        folder = self.repositories[repository]
        files = {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}
        if action == "revision":
            info = {"id": f"{owner}/{name}", "sha": commit, "siblings": [{"rfilename": each} for each in files]}
            return self._send(request, 200, json.dumps(info).encode(), body)
        if action == "tree":
            tree = [
                {
                    "type": "file",
                    "path": each,
                    "size": file.stat().st_size,
                    "oid": hashlib.sha1(file.read_bytes()).hexdigest(),
                }
                for each, file in files.items()
            ]
            return self._send(request, 200, json.dumps(tree).encode(), body)
        if path not in files:
            return self._send(request, 404, b"", body, {"X-Error-Code": "EntryNotFound"})
        content = files[path].read_bytes()
        etag = hashlib.sha1(content).hexdigest()
        return self._send(request, 200, content, body, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        content: bytes,
        body: bool,
        headers: dict[str, str] | None = None,
    ) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if body:
            request.wfile.write(content)

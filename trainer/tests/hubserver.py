"""A stand-in for the Hugging Face Hub with the endpoints that huggingface_hub calls to download and to publish.

What it cannot prove: the Hub's storage by Xet (it hands out a folder of this machine, which the library's own client fills, and takes
the client's word for what is in it), parts of files above 5 GB, rate limits as the Hub sets them, which cards, names and rights the
Hub takes, and that an earlier commit stays readable (it keeps the newest).
"""

import argparse
import base64
import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_LARGE = (".safetensors", ".bin")
_READ_BYTES = 65536


@dataclass
class Fault:
    """Befalls the next `times` requests whose method and path fit: answered with `status` or with a `page`, cut off after `cut_after` bytes of what they
    send, or read slowly; with `answer_lost` it takes effect, and just its answer never comes."""

    method: str
    path: str
    status: int | None = None
    page: bytes | None = None
    cut_after: int | None = None
    seconds_per_block: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    answer_lost: bool = False
    times: int = 1


class HubServer:
    """Serves folders: `repositories` has them by `models/OWNER/NAME` and `datasets/OWNER/NAME`. Each has one commit, `main`.

    `gated` and `private` repositories want a token of `tokens`, which has the owner that each may write for; "good" is one of
    them, and "reader" may write for nobody. `broken` answers everything with 500. `requests` are those so far, `stored` the
    sums of large files that were put, in their order.
    """

    def __init__(self, root: Path | None = None, port: int = 0) -> None:
        self.repositories: dict[str, Path] = {}
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.tokens = {"good": "acme", "reader": ""}
        self.broken = False
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.stored: list[str] = []
        self.card_error: str | None = None
        # Sums and sizes of large files in repositories, by repository and path.
        self.large: dict[tuple[str, str], tuple[str, int]] = {}
        self._root = root
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            def do_HEAD(self) -> None:
                hub.answer(self)

            def do_POST(self) -> None:
                hub.answer(self)

            def do_PUT(self) -> None:
                hub.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def root(self) -> Path:
        """Where repositories that are made here, and large files, lie."""
        assert self._root is not None
        return self._root

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def commit(self, name: str) -> str:
        """Changes with what is in the folder."""
        folder = self.repositories[name]
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return hashlib.sha1(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()

    def asked(self, part: str) -> int:
        """How many requests had this in them."""
        return sum(part in request for request in self.requests)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path).strip("/")
        line = f"{request.command} /{path}"
        self.requests.append(line)
        fault = next((each for each in self.faults if each.method == request.command and each.path in f"/{path}"), None)
        if fault is not None:
            fault.times -= 1
            if fault.times == 0:
                self.faults.remove(fault)
        content = _body(request, fault)
        if content is None:
            return
        if fault is not None and fault.page is not None:
            _send(request, 200, fault.page)
            return
        if self.broken or (fault is not None and fault.status is not None):
            status = 500 if fault is None or fault.status is None else fault.status
            _send(request, status, {"error": f"told to answer {status}"}, {} if fault is None else fault.headers)
            return
        reply = self._reply(request, path, content)
        if fault is None or not fault.answer_lost:
            _send(request, *reply)

    def _reply(self, request: BaseHTTPRequestHandler, path: str, content: bytes) -> tuple[Any, ...]:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        parts = path.split("/")
        if token not in ("", *self.tokens):
            words = "Invalid credentials in Authorization header"
            return 401, {"error": words}, {"X-Error-Message": words}
        if path == "api/whoami-v2":
            return 200, {"type": "user", "name": self.tokens.get(token) or "reader"}
        if path == "api/validate-yaml":
            if self.card_error is not None:
                return 400, {"errors": [{"message": self.card_error}], "warnings": []}
            return 200, {"errors": [], "warnings": []}
        if path == "api/repos/create":
            return self._create(token, json.loads(content))
        if parts[0] == "lfs":
            return self._put(parts[1], content)
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(content))
        api = parts[0] == "api"
        if len(parts) < (4 if api else 5):
            # The library asks some more of the Hub than it needs.
            return 404, {}
        kind = parts[1] if api else "datasets" if parts[0] == "datasets" else "models"
        owner, name, *rest = parts[2:] if api else parts[1:] if kind == "datasets" else parts
        repository = f"{kind}/{owner}/{name}"
        allowed = token in self.tokens
        if repository not in self.repositories or (repository in self.private and not allowed):
            return 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        if repository in self.gated and not allowed:
            return 403, {}, {"X-Error-Code": "GatedRepo"}
        return self._of_repository(repository, rest or ["revision", "main"], content, self.tokens.get(token) == owner)

    def _of_repository(self, repository: str, rest: list[str], content: bytes, writes: bool) -> tuple[Any, ...]:
        action, revision, path = rest[0], rest[1] if len(rest) > 1 else "main", "/".join(rest[2:])
        if (action in ("preupload", "commit", "xet-write-token") or rest == ["auth-check", "write"]) and not writes:
            return 403, {"error": "You don't have the rights to write to this repository"}
        if action == "auth-check":
            return 200, {}
        commit = self.commit(repository)
        if revision not in ("main", commit):
            return 404, {}, {"X-Error-Code": "RevisionNotFound"}
        folder = self.repositories[repository]
        files = {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}
        if action == "preupload":
            return 200, {"files": [self._mode(repository, files, each) for each in json.loads(content)["files"]]}
        if action == "commit":
            return self._commit(repository, [json.loads(line) for line in content.splitlines()])
        if action == "xet-write-token":
            cas = f"local://{self.root / 'xet'}"
            return 200, {"casUrl": cas, "exp": int(time.time()) + 3600, "accessToken": "xet"}
        if action == "revision":
            siblings = [{"rfilename": each} for each in files]
            private = repository in self.private
            return 200, {"id": repository.partition("/")[2], "sha": commit, "siblings": siblings, "private": private}
        if action == "tree":
            return 200, [self._entry(repository, each, file) for each, file in files.items()]
        if path not in files:
            return 404, {}, {"X-Error-Code": "EntryNotFound"}
        found = files[path].read_bytes()
        return 200, found, {"ETag": f'"{hashlib.sha1(found).hexdigest()}"', "X-Repo-Commit": commit}

    def _create(self, token: str, wanted: dict[str, Any]) -> tuple[Any, ...]:
        name = f"{wanted['organization']}/{wanted['name']}"
        if self.tokens.get(token) != wanted["organization"]:
            words = f"You don't have the rights to create a model under the namespace {wanted['organization']}"
            return 403, {"error": words}
        if f"models/{name}" in self.repositories:
            return 409, {"error": "You already created this model repo"}
        folder = self.root / "models" / name
        folder.mkdir(parents=True)
        (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
        self.repositories[f"models/{name}"] = folder
        if wanted.get("visibility") == "private":
            self.private.add(f"models/{name}")
        return 200, {"url": f"{self.url}/{name}"}

    def _mode(self, repository: str, files: dict[str, Path], file: dict[str, Any]) -> dict[str, Any]:
        path = file["path"]
        there = self._entry(repository, path, files[path]) if path in files else {}
        oid = there.get("lfs", there).get("oid")
        mode = "lfs" if path.endswith(_LARGE) else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def _batch(self, wanted: dict[str, Any]) -> tuple[Any, ...]:
        def action(oid: str) -> dict[str, Any]:
            there = (self.root / "lfs" / oid).is_file()
            return {} if there else {"actions": {"upload": {"href": f"{self.url}/lfs/{oid}?signature=hidden"}}}

        objects = [{**each, **action(each["oid"])} for each in wanted["objects"]]
        return 200, {"transfer": "basic", "objects": objects}

    def _put(self, oid: str, content: bytes) -> tuple[Any, ...]:
        if hashlib.sha256(content).hexdigest() != oid:
            return 400, {"error": "the content has another sum"}
        (self.root / "lfs").mkdir(exist_ok=True)
        (self.root / "lfs" / oid).write_bytes(content)
        self.stored.append(oid)
        return 200, {}

    def _commit(self, repository: str, lines: list[dict[str, Any]]) -> tuple[Any, ...]:
        folder = self.repositories[repository]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                (folder / value["path"]).write_bytes(base64.b64decode(value["content"]))
            elif line["key"] == "deletedFile":
                (folder / value["path"]).unlink()
                self.large.pop((repository, value["path"]), None)
            elif line["key"] == "lfsFile":
                stored = self.root / "lfs" / value["oid"]
                if not stored.is_file() and not (self.root / "xet").is_dir():
                    return 400, {"error": f"LFS object {value['oid']} is not there"}
                pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{value['oid']}\n".encode()
                (folder / value["path"]).write_bytes(stored.read_bytes() if stored.is_file() else pointer)
                self.large[repository, value["path"]] = (value["oid"], value["size"])
        commit = self.commit(repository)
        return 200, {
            "success": True,
            "commitOid": commit,
            "commitUrl": f"{self.url}/{repository.partition('/')[2]}/commit/{commit}",
        }

    def _entry(self, repository: str, path: str, file: Path) -> dict[str, Any]:
        content = file.read_bytes()
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": oid}
        if (repository, path) in self.large:
            sum_, size = self.large[repository, path]
            entry |= {"size": size, "lfs": {"oid": sum_, "size": size, "pointerSize": 134}}
        return entry


def _body(request: BaseHTTPRequestHandler, fault: Fault | None) -> bytes | None:
    """What the request sends; None when it was cut off."""
    left, content = int(request.headers.get("Content-Length", "0")), b""
    while left > 0:
        block = request.rfile.read(min(left, _READ_BYTES))
        if not block:
            return None
        content, left = content + block, left - len(block)
        if fault is not None:
            threading.Event().wait(fault.seconds_per_block)
            if fault.cut_after is not None and len(content) >= fault.cut_after:
                return None
    return None if fault is not None and fault.cut_after == 0 else content


def _send(request: BaseHTTPRequestHandler, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    request.send_response(status)
    for name, text in (headers or {}).items():
        request.send_header(name, text)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content)


def main(arguments: list[str], wait: Callable[[], object] = sys.stdin.read) -> None:
    """Serves until its standard input is closed; says its address on the first line that it prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.hubserver", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder for what is published")
    parser.add_argument("--refuse-commits", type=int, default=0, help="so many commits are answered with 500 first")
    wanted = parser.parse_args(arguments)
    server = HubServer(wanted.root)
    if wanted.refuse_commits > 0:
        server.faults.append(Fault("POST", "/commit/", status=500, times=wanted.refuse_commits))
    print(server.url, flush=True)
    wait()
    server.close()


if __name__ == "__main__":
    main(sys.argv[1:])

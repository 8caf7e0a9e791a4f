"""A small HTTP server that speaks the operator's protocol, and knows one pod at Runpod, for a real agent to talk to."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.ledger import Ledger
from tests.waiting import PATIENCE_SECONDS

Event = dict[str, Any]

TOKEN, POD_ID, POD_KEY = "token-of-the-attempt", "pod123", "key-of-the-pod"
# The command that ends a run in order.
STOP = {"id": "1", "type": "stop", "reason": "budget"}


class OperatorServer:
    """What agents of one attempt reported, and what is done to them. Members may be changed while it serves."""

    def __init__(self, config: Event, refuses: Callable[[Event], bool] = lambda _event: False) -> None:
        self.config = config
        self.ledger = Ledger(refuses)
        self.changed = threading.Condition()
        self.requests: list[Event] = []
        self.deletes = 0
        self.bad_tokens = 0
        # Requests that came where a redirect pointed to.
        self.redirected = 0
        self.token = TOKEN
        self.commands: list[Event] = []
        self.lease: Any = None
        # The lease of the next answer, after which the operator is silent.
        self.last_lease: Any = None
        self.pod_status = 200
        self.delete_status = 204
        # Reports that must have come before Runpod says anything of the pod.
        self.pod_answers_after = 0
        # Faults of the next reports that carry events, in order: a status to answer with, "lost before" or "lost after" they
        # were taken, or "swallowed": answered well by somebody else.
        self.faults: list[int | str] = []
        self.config_faults: list[int] = []
        # What every report is answered with; 0 serves them.
        self.always = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def events(self) -> list[Event]:
        with self.changed:
            return list(self.ledger.events)

    def of_type(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def steps(self) -> list[int]:
        return [event["step"] for event in self.of_type("point")]

    @property
    def signs_of_life(self) -> list[Event]:
        with self.changed:
            return [body for body in self.requests if not body["events"]]

    def wait_for(self, holds: Callable[[], object]) -> None:
        """Returns when the condition holds, which is looked at after every request."""
        with self.changed:
            if not self.changed.wait_for(holds, PATIENCE_SECONDS):
                raise AssertionError(f"did not come to hold; events so far: {self.ledger.events}")

    def wait_for_final(self) -> Event:
        self.wait_for(lambda: any(event["type"] == "final" for event in self.ledger.events))
        return self.of_type("final")[0]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def report(self, body: Event) -> tuple[int, Event] | None:
        """Status and body of the answer; None when the connection is cut instead."""
        self.requests.append(body)
        events, session = body["events"], body["session"]
        sequence: int = body.get("sequence", 0)
        if self.always:
            return self.always, {"error": {"code": "FAULT", "message": "as the test wants it"}}
        fault = self.faults.pop(0) if events and self.faults else None
        if fault == "lost before":
            return None
        if fault == "swallowed":
            return 200, {"status": "a proxy is glad to be of service"}
        if isinstance(fault, int):
            return fault, {"error": {"code": "FAULT", "message": "as the test wants it"}}
        if events:
            status = self.ledger.accept(session, sequence, events)
            if status != 200:
                return status, {"error": {"code": "REFUSED", "message": f"refused with {status}"}}
        acknowledged = {"session": session, "sequence": sequence} if events else None
        if fault == "lost after":
            return None
        if self.last_lease is not None:
            self.lease, self.always = self.last_lease, 503
        return 200, {
            "acknowledged": acknowledged,
            "commands": self.commands,
            "lease": self.lease,
            "token": self.token,
            "serverTime": "",
        }


def _handler(state: OperatorServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

        def do_GET(self) -> None:
            with state.changed:
                if self.path == "/elsewhere":
                    state.redirected += 1
                    self._answer(200, {})
                elif self.path.startswith("/v2/pods/"):
                    state.changed.wait_for(lambda: len(state.requests) >= state.pod_answers_after, PATIENCE_SECONDS)
                    self._pod(state.pod_status)
                elif not self._is_known(state.token):
                    self._answer(401, {})
                elif state.config_faults:
                    self._answer(state.config_faults.pop(0), {}, {"Retry-After": "0"})
                else:
                    self._answer(200, state.config)
                state.changed.notify_all()

        def do_DELETE(self) -> None:
            with state.changed:
                state.deletes += 1
                self._pod(state.delete_status)
                state.changed.notify_all()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.changed:
                answer = state.report(body) if self._is_known(state.token) else (401, {})
                if answer is None:
                    self.close_connection = True
                else:
                    self._answer(*answer)
                state.changed.notify_all()

        def _is_known(self, token: str) -> bool:
            known = self.headers["Authorization"] in (f"Bearer {TOKEN}", f"Bearer {token}")
            state.bad_tokens += not known
            return known and self.headers["X-Runpod-Pod-Id"] == POD_ID

        def _pod(self, status: int) -> None:
            known = self.path == f"/v2/pods/{POD_ID}" and self.headers["Authorization"] == f"Bearer {POD_KEY}"
            self._answer(status if known else 401, {"id": POD_ID})

        def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            content = b"" if status == 204 else json.dumps(body).encode()
            self.send_response(status)
            fixed = {"Content-Length": str(len(content)), "Location": "/elsewhere"}
            for name, value in {**fixed, **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    return Handler

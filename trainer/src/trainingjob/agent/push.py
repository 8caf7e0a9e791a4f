"""The line of an agent that calls the operator."""

import threading
from typing import Any

from trainingjob.agent.http import Answer, send
from trainingjob.agent.identity import Identity
from trainingjob.agent.line import Kind


class PushLine:
    """Questions are requests to the operator's address, which only a public certificate or the simulator makes good."""

    def __init__(self, identity: Identity) -> None:
        self._base = f"{identity.url}/v1/jobs/{identity.uid}/attempts/{identity.attempt}"
        self._pod_id = identity.pod_id
        self._token = identity.token
        self._lock = threading.Lock()

    def ask(self, kind: Kind, body: dict[str, Any] | None) -> Answer:
        with self._lock:
            headers = {"Authorization": f"Bearer {self._token}", "X-Runpod-Pod-Id": self._pod_id}
        return send("GET" if body is None else "POST", f"{self._base}/{kind}", headers, body)

    def renew(self, token: str) -> None:
        with self._lock:
            self._token = token

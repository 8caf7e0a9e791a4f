"""The line of an agent that the operator calls: questions wait for the operator's next call, answers come with the one after."""

import json
import secrets
import threading
from typing import Any

from trainingjob.agent.http import Answer
from trainingjob.agent.identity import Identity
from trainingjob.agent.line import Kind
from trainingjob.agent.seal import NONCE_BYTES, opened, sealed

_PATIENCE_SECONDS = 30.0
# Runpod's proxy cuts a request after 100.
_LONGEST_WAIT_SECONDS = 50.0


class PullLine:
    """One question at a time. It is shown to every call until it is answered, so a call that is lost loses nothing."""

    def __init__(self, identity: Identity) -> None:
        self._pod_id = identity.pod_id
        self._token = identity.token
        self._changed = threading.Condition()
        self._question: dict[str, Any] | None = None
        self._answer: Answer | None = None

    def ask(self, kind: Kind, body: dict[str, Any] | None) -> Answer:
        with self._changed:
            self._answer = None
            # The id is never used again: an answer that is recorded and sent once more fits no question.
            self._question = {"id": secrets.token_hex(8), "podID": self._pod_id, "kind": kind, "body": body}
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answer is not None, _PATIENCE_SECONDS)
            self._question = None
            return self._answer or Answer(0, None, "the operator did not call for it", None)

    def renew(self, token: str) -> None:
        with self._changed:
            self._token = token

    def turn(self, message: bytes) -> bytes | None:
        """Takes a call of the operator with the answer it brings, and gives the next question, waiting for one as long as
        the operator wants to. None: the call is not the operator's."""
        with self._changed:
            token = self._token
        text = opened(token, "operator", b"", message)
        call = None if text is None else _parsed(text)
        if call is None:
            return None
        with self._changed:
            self._take(call.get("answer"))
            self._changed.wait_for(lambda: self._question is not None, _wait(call.get("waitSeconds")))
            reply = json.dumps({"question": self._question}, allow_nan=False).encode()
        return sealed(token, "agent", message[:NONCE_BYTES], reply)

    def _take(self, given: Any) -> None:
        if not isinstance(given, dict) or self._question is None or given.get("id") != self._question["id"]:
            return
        status, body, retry_after = given.get("status"), given.get("body"), given.get("retryAfterSeconds")
        if not isinstance(status, int):
            return
        detail = "" if status == 200 else json.dumps(body)[:300]
        self._answer = Answer(
            status, body, detail, float(retry_after) if isinstance(retry_after, (int, float)) else None
        )
        self._question = None
        self._changed.notify_all()


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _wait(seconds: Any) -> float:
    return min(max(0.0, float(seconds)), _LONGEST_WAIT_SECONDS) if isinstance(seconds, (int, float)) else 0.0

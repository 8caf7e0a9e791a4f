"""One HTTP request with an answer or none; no answer is a value, not an exception, because the agent outlives outages."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """`status` 0 means that no answer came; then `detail` says why. `body` is the parsed JSON, or None."""

    status: int
    body: Any
    detail: str
    retry_after: float | None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other: followed, it would carry the token to another host and drop the body."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)


def send(method: str, url: str, headers: Mapping[str, str], body: Any = None, timeout: float = 30) -> Answer:
    """Sends one request. `timeout` is in seconds, for each wait on the network."""
    data = None if body is None else json.dumps(body, allow_nan=False).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=dict(headers))
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        try:
            with _opener.open(request, timeout=timeout) as response:
                return Answer(response.status, _parsed(response.read()), "", None)
        except urllib.error.HTTPError as error:
            text = error.read()
            return Answer(
                error.code,
                _parsed(text),
                text.decode(errors="replace")[:300],
                _seconds(error.headers.get("Retry-After")),
            )
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(0, None, str(error), None)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _seconds(header: str | None) -> float | None:
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:
        return None

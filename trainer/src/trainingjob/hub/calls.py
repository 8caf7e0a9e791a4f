"""Calls to the Hugging Face Hub: again where a failure may pass, and in words where it lasts."""

import json
import os
import re
import time
from collections.abc import Callable
from typing import TypeVar

from httpx2 import HTTPError
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from trainingjob.disk import disk_full
from trainingjob.fields import Fields

T = TypeVar("T")

PATIENCE = "TRAININGJOB_HUB_PATIENCE_SECONDS"
_FIRST_WAIT_SECONDS = 1.0
_MOST_WAIT_SECONDS = 30.0
_PASSING = (408, 409, 412, 429)
# ValueError: an answer that is no JSON, or what the library itself finds wrong. RuntimeError: wraps a failed upload.
_FAILURES = (HTTPError, OSError, ValueError, RuntimeError)
# Xet has no kinds of errors, only words.
_XET_REFUSED = re.compile(r"client error \(40[13]\b")


def hub_address() -> str | None:
    """Where the Hub is, when it is another than the public one."""
    return os.environ.get("HF_ENDPOINT") or None


class Refused(Exception):
    """The Hub understood, and said no; the text is its own. `rights`: to whoever asks with this token."""

    def __init__(self, words: str, *, rights: bool) -> None:
        super().__init__(words)
        self.rights = rights


class Unanswered(Exception):
    """The Hub gave no answer, or none that can be used, for as long as patience lasts."""


def patiently(ask: Callable[[], T]) -> T:
    """Asks the Hub something, and again for a while when the failure may pass.

    Raises:
        Refused: it wants another token, or does not take what it was asked.
        Unanswered: what may pass did not.
        TrainingError: exit code 6 when the container's disk is full.
    """
    try:
        return persistently(ask)
    except _FAILURES as error:
        problem = _root(error)
    if _lasts(problem):
        raise Refused(words_of(problem), rights=_is_of_rights(problem)) from problem
    raise Unanswered(words_of(problem)) from problem


def persistently(ask: Callable[[], T]) -> T:
    """The same, but raises what the library raised last; TrainingError with exit code 6 when the container's disk is full."""
    patience = Fields(dict(os.environ), "").decimal(
        PATIENCE, "120", lambda number: number > 0, "a number of seconds above 0"
    )
    deadline = time.monotonic() + patience
    wait = _FIRST_WAIT_SECONDS
    while True:
        try:
            return ask()
        except _FAILURES as error:
            problem = _root(error)
            full = disk_full(problem)
            if full is not None:
                raise full from problem
            wait = max(wait, _asked_to_wait(problem))
            if _lasts(problem) or time.monotonic() + wait > deadline:
                raise
        time.sleep(wait)
        wait = min(wait * 2, _MOST_WAIT_SECONDS)


def _root(error: BaseException) -> BaseException:
    """An upload's failure lies below the library's own word for it; so does that of a download, for which it then looked at what it
    has here."""
    while isinstance(error, (RuntimeError, LocalEntryNotFoundError)) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _lasts(error: BaseException) -> bool:
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        # Storage behind the Hub is written to with addresses that expire; the Hub gives new ones.
        expired = status in (401, 403) and error.response.request.method == "PUT"
        return status < 500 and status not in _PASSING and not expired
    if isinstance(error, ConnectionError):
        return _XET_REFUSED.search(str(error)) is not None
    return isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError)


def _is_of_rights(error: BaseException) -> bool:
    """Of a repository that one may not see, the Hub says that it is not there."""
    return isinstance(error, ConnectionError) or (
        isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403, 404)
    )


def _asked_to_wait(error: BaseException) -> float:
    """Seconds that the answer asks for; 0 when it asks for none, or for a date."""
    text = error.response.headers.get("Retry-After", "") if isinstance(error, HfHubHTTPError) else ""
    return float(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0.0


def words_of(error: BaseException) -> str:
    """What went wrong, without the queries of addresses: those of storage are keys."""
    if isinstance(error, HfHubHTTPError):
        said = error.server_message or error.response.reason_phrase
        text = f"{error.response.status_code}: {' '.join(said.split())}"
    else:
        text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"\?[^\s'\",)]+", "?…", text)[:500]

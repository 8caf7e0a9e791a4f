"""One file from an https:// address to this machine's disk: gone on with after a cut, given up after a while."""

import contextlib
import http.client
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urljoin, urlsplit

from trainingjob import __version__
from trainingjob.datasource import DataSource
from trainingjob.disk import disk_full, no_room
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import Fields
from trainingjob.stages import counting

PATIENCE = "TRAININGJOB_HTTPS_PATIENCE_SECONDS"
_MOST_TRIES = 20
_MOST_SILENCE_SECONDS = 60.0
_FIRST_WAIT_SECONDS = 1.0
_MOST_WAIT_SECONDS = 30.0
_TELL_SECONDS = 10.0
_BLOCK_BYTES = 1024 * 1024
_PASSING = (408, 425, 429)
_EXPIRED = (401, 403, 404, 410)
# Everything that an address may hold as it is.
_PLAIN = "/%:@!$&'()*+,;=~-._?[]"


def download(data: DataSource, path: Path) -> None:
    """Copies what is at the address to a file.

    A server that sends parts of a file is asked for the rest after a cut, as long as the file there is still the same; another is
    asked again from the beginning.

    Raises:
        TrainingError: exit code 3 when the server refuses, which names the field to change; exit code 6 when it gives no answer or
            none that can be used, for as long as patience lasts, and when the container's disk is full.
    """
    patience = Fields(dict(os.environ), "").decimal(
        PATIENCE, "120", lambda number: number > 0, "a number of seconds above 0"
    )
    fetching = _Fetching(data, path, min(patience, _MOST_SILENCE_SECONDS))
    wait, deadline = _FIRST_WAIT_SECONDS, time.monotonic() + patience
    for tries_left in range(_MOST_TRIES - 1, -1, -1):
        before = fetching.done
        try:
            fetching.fetch()
            return
        except _Passing as error:
            problem = error
        if fetching.done > before:
            wait, deadline = _FIRST_WAIT_SECONDS, time.monotonic() + patience
        wait = max(wait, problem.wanted_seconds)
        if tries_left == 0 or time.monotonic() + wait > deadline:
            break
        time.sleep(wait)
        wait = min(wait * 2, _MOST_WAIT_SECONDS)
    raise TrainingError(ExitCode.ARTIFACTS, f"{data.source} cannot be read: {problem}") from problem


class _Passing(Exception):
    """A failure that may pass; the text has no secrets."""

    def __init__(self, words: str, wanted_seconds: float = 0.0) -> None:
        super().__init__(words)
        self.wanted_seconds = wanted_seconds


class _Refused(Exception):
    """What asking again does not change."""


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Goes where it is sent to, but never to a place that anybody between may read."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        target = urlsplit(urljoin(req.full_url, newurl))
        if target.scheme != "https":
            raise _Refused(f"it sends on to {target.scheme}://{target.hostname or ''}, and only https:// is followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Fetching:
    """A download between its tries; `done` bytes are in the file."""

    def __init__(self, data: DataSource, path: Path, silence: float) -> None:
        self.done = 0
        self._data, self._path, self._silence = data, path, silence
        self._address = quote(data.source, safe=_PLAIN) + (f"?{quote(data.query, safe=_PLAIN)}" if data.query else "")
        # What proves that the rest is of the same file; without it there is none to go on with.
        self._validator = ""
        # A proxy is found in the environment, certificates in SSL_CERT_FILE.
        secure = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        self._opener = urllib.request.build_opener(secure, _SecureRedirects())

    def fetch(self) -> None:
        """Asks once, for what is not there yet. Raises _Passing, or TrainingError for what lasts."""
        headers = {"User-Agent": f"trainingjob/{__version__}", "Accept-Encoding": "identity"}
        if self.done > 0 and self._validator:
            headers |= {"Range": f"bytes={self.done}-", "If-Range": self._validator}
        request = urllib.request.Request(self._address, headers=headers)
        try:
            with self._opener.open(request, timeout=self._silence) as answer:
                self._take(answer)
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                self._judge(error.code, error.headers)
        except _Refused as error:
            raise self._refused(str(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failed(error) from error

    def _take(self, answer: Any) -> None:
        start = self._start(answer.status, answer.headers)
        left = _whole(answer.headers.get("Content-Length"))
        self._validator = _validator(answer.headers)
        if left is not None:
            no_room(left, shutil.disk_usage(self._path.parent).free, self._data.source)
        total = None if left is None else start + left
        tell = counting("Downloading", self._data.source, total, _TELL_SECONDS, begun=start)
        # Unbuffered, so that what is counted as done is in the file.
        with self._path.open("r+b" if start else "wb", buffering=0) as file:
            file.seek(start)
            file.truncate()
            self.done = start
            while block := answer.read(_BLOCK_BYTES):
                file.write(block)
                self.done += len(block)
                tell(len(block))
        if total is not None and self.done < total:
            raise _Passing(f"it was cut off after {self.done} of {total} bytes")

    def _start(self, status: int, headers: Message) -> int:
        """Where in the file the answer begins."""
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        if status != 206 or found is None:
            return 0
        if int(found[1]) == self.done:
            return self.done
        self._validator = ""
        raise _Passing(f"it sent the bytes from {found[1]}, where those from {self.done} were wanted")

    def _judge(self, status: int, headers: Message) -> None:
        """An answer that has no file in it."""
        named_by = self._data.named_by
        if status == 416:
            # The file has become shorter than what is here of it.
            self._validator = ""
            raise _Passing("it answers 416, though it had more bytes before")
        if status in _PASSING or status >= 500:
            wanted = headers.get("Retry-After", "")
            raise _Passing(f"it answers {status}", float(wanted) if re.fullmatch(r"[0-9]{1,6}", wanted) else 0.0)
        if status in _EXPIRED:
            signed = "; a signed address expires: sign a new one" if self._data.query else ""
            raise self._refused(
                f"it answers {status}{signed}; write an address in {named_by} at which the file can be read without logging in"
            )
        raise self._refused(f"it answers {status}; correct {named_by}")

    def _failed(self, error: BaseException) -> Exception:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        full = disk_full(cause) if isinstance(cause, BaseException) else None
        if full is not None:
            return full
        if isinstance(cause, ssl.SSLCertVerificationError):
            return self._refused(
                f"its certificate is not good: {cause.verify_message}; correct {self._data.named_by}, or name the authority's "
                "certificate in SSL_CERT_FILE in spec.trainer.env"
            )
        if isinstance(cause, (http.client.InvalidURL, UnicodeError)):
            return self._refused(f"it is no address; correct {self._data.named_by}")
        words = " ".join(str(cause).split()) or type(cause).__name__
        return _Passing(words.replace(self._data.query, "…")[:500] if self._data.query else words[:500])

    def _refused(self, words: str) -> TrainingError:
        return TrainingError(ExitCode.DATA, f"{self._data.source} cannot be read: {words}")


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _validator(headers: Message) -> str:
    """A strong tag, or none: a weak one, or a date, may stay while bytes change."""
    tag = str(headers.get("ETag", ""))
    return tag if tag.startswith('"') else ""

"""A prefix of an S3 bucket, by an `s3://` URI; any server that speaks S3."""

import hashlib
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from trainingjob.fields import invalid
from trainingjob.storage.s3settings import SCHEME, S3Settings, read_settings
from trainingjob.storage.store import Digest, StorageError, Tell, tell_nobody

T = TypeVar("T")

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PART_BYTES = 16 * 1024 * 1024
_MOST_PARTS = 10_000
_PARTS_AT_ONCE = 4
_READ_BYTES = 1024 * 1024
_FIRST_WAIT_SECONDS = 0.5
_MOST_WAIT_SECONDS = 15.0
_MISSING = ("NoSuchKey", "404", "NotFound")


class Bucket:
    """A prefix of a bucket as a store. Objects appear whole; parts that arrived are not sent again after a cut."""

    def __init__(self, uri: str, environment: Mapping[str, str]) -> None:
        self._bucket, _, prefix = uri.removeprefix(SCHEME).partition("/")
        if not _BUCKET.fullmatch(self._bucket):
            raise invalid(f"{uri}: {self._bucket!r} is no bucket's name; write s3://bucket/folder")
        if ".." in prefix.split("/"):
            raise invalid(f"{uri}: must not contain '..'")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._settings = read_settings(environment)
        self._client = _client(self._settings)

    def read(self, name: str) -> bytes:
        return b"".join(self._chunks(name))

    def write(self, name: str, content: bytes) -> None:
        self._call("put_object", Key=self._key(name), Body=content)

    def upload(self, path: Path, name: str, tell: Tell = tell_nobody) -> None:
        size = path.stat().st_size
        if size <= _PART_BYTES:
            self.write(name, path.read_bytes())
            tell(size)
        else:
            self._upload_parts(path, name, max(_PART_BYTES, math.ceil(size / _MOST_PARTS)), size, tell)

    def download(self, name: str, path: Path) -> None:
        def copy() -> None:
            with path.open("wb") as file:
                for chunk in self._stream(name):
                    file.write(chunk)

        self._patiently("get_object", copy)

    def digest(self, name: str) -> Digest:
        def read() -> Digest:
            sum_, size = hashlib.sha256(), 0
            for chunk in self._stream(name):
                sum_.update(chunk)
                size += len(chunk)
            return Digest(bytes=size, sha256=sum_.hexdigest())

        return self._patiently("get_object", read)

    def folders(self) -> list[str]:
        found: list[str] = []
        for page in self._pages(Prefix=self._prefix, Delimiter="/"):
            prefixes = [str(entry["Prefix"]) for entry in page.get("CommonPrefixes", [])]
            found += [prefix[len(self._prefix) :].rstrip("/") for prefix in prefixes]
        return sorted(found)

    def remove(self, name: str) -> None:
        key = self._key(name)
        for page in self._pages(Prefix=key):
            # A prefix is no folder: checkpoint-20 is one of checkpoint-200.
            keys = [str(entry["Key"]) for entry in page.get("Contents", [])]
            for found in keys:
                if found == key or found.startswith(f"{key}/"):
                    self._call("delete_object", Key=found)

    def _upload_parts(self, path: Path, name: str, part_bytes: int, size: int, tell: Tell) -> None:
        place = {"Key": self._key(name)}
        place["UploadId"] = self._call("create_multipart_upload", **place)["UploadId"]

        def send(number: int) -> dict[str, Any]:
            with path.open("rb") as file:
                file.seek((number - 1) * part_bytes)
                content = file.read(part_bytes)
            answer = self._call("upload_part", **place, PartNumber=number, Body=content)
            tell(len(content))
            return {"PartNumber": number, "ETag": answer["ETag"]}

        try:
            with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
                parts = list(pool.map(send, range(1, math.ceil(size / part_bytes) + 1)))
            self._call("complete_multipart_upload", **place, MultipartUpload={"Parts": parts})
        except OSError:
            # Parts that belong to nothing cost money until somebody finds them.
            self._abort(place)
            raise

    def _abort(self, place: dict[str, str]) -> None:
        try:
            self._client.abort_multipart_upload(Bucket=self._bucket, **place)
        except (BotoCoreError, ClientError, OSError) as error:
            print(f"parts of {place['Key']} stay in {self._bucket}: {type(error).__name__}", flush=True)  # noqa: T201

    def _chunks(self, name: str) -> list[bytes]:
        return self._patiently("get_object", lambda: list(self._stream(name)))

    def _stream(self, name: str) -> Iterator[bytes]:
        body = self._client.get_object(Bucket=self._bucket, Key=self._key(name))["Body"]
        with closing(body):
            # An answer that ends early is an error here, not an end.
            yield from body.iter_chunks(_READ_BYTES)

    def _pages(self, **what: str) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", **what, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _call(self, operation: str, **arguments: Any) -> Any:
        return self._patiently(operation, lambda: getattr(self._client, operation)(Bucket=self._bucket, **arguments))

    def _patiently(self, operation: str, attempt: Callable[[], T]) -> T:
        """Tries again what may pass: no answer, a cut, an overloaded server. What lasts is said at once."""
        deadline = time.monotonic() + self._settings.patience
        wait = _FIRST_WAIT_SECONDS
        while True:
            try:
                return attempt()
            except ClientError as error:
                problem = self._refusal(operation, error)
                if isinstance(problem, FileNotFoundError) or problem.lasting:
                    raise problem from None
            except (BotoCoreError, HTTPError, ConnectionError, TimeoutError) as error:
                problem = StorageError(
                    f"{operation} got no answer from {self._where()} for {self._settings.patience:g} s "
                    f"({type(error).__name__}); check the endpoint and the network, then run it again",
                    lasting=False,
                )
            if time.monotonic() + wait > deadline:
                raise problem from None
            time.sleep(wait)
            wait = min(wait * 2, _MOST_WAIT_SECONDS)

    def _refusal(self, operation: str, error: Any) -> StorageError | FileNotFoundError:
        answer = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = self._hidden(str(answer.get("Code", "")))
        said = self._hidden(str(answer.get("Message", "")))[:200]
        where = f"{operation} in {self._where()}"
        if code == "NoSuchBucket":
            return StorageError(
                f"the bucket {self._bucket} is not there ({where}); make it, or correct the uri", lasting=True
            )
        if code in _MISSING:
            return FileNotFoundError(f"not in the bucket {self._bucket}")
        if status in (401, 403):
            return StorageError(
                f"{where} was refused with {status} {code}: {said}; give the key the rights to list, read, write and delete "
                f"in the bucket {self._bucket}, or check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the region",
                lasting=True,
            )
        passing = status >= 500 or status in (408, 429) or code in ("SlowDown", "RequestTimeout")
        hint = (
            "the server is overloaded or ill; run it again later"
            if passing
            else "check the endpoint, region and path style"
        )
        return StorageError(f"{where} was answered with {status} {code}: {said}; {hint}", lasting=not passing)

    def _where(self) -> str:
        return self._settings.endpoint or "Amazon S3"

    def _hidden(self, text: str) -> str:
        """A server's words, without what they may repeat of the request."""
        for secret in (self._settings.secret_key, self._settings.session_token):
            text = text.replace(secret, "…") if secret else text
        return text


@lru_cache(maxsize=4)
def _client(settings: S3Settings) -> Any:
    wait = min(30.0, settings.patience)
    return boto3.session.Session().client(
        "s3",
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        aws_session_token=settings.session_token,
        region_name=settings.region or "us-east-1",
        endpoint_url=settings.endpoint,
        config=Config(
            connect_timeout=wait,
            read_timeout=wait,
            max_pool_connections=_PARTS_AT_ONCE + 2,
            # Tries are counted in one place, here. Sums other than our own are left out: many servers refuse them.
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path" if settings.path_style else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )

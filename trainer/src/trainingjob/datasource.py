"""Where the rows of a run come from, as a configuration says it."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from trainingjob.fields import Fields, invalid

S3, HTTPS, HUB, FILE = "s3://", "https://", "hf://", "file://"

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class DataSource:
    """`source` is the address as it may be shown; what follows the `?` of an https:// address is a key as a rule and lies in
    `query`. `where` is the part of the job that a person corrects. `sha256` is the sum that the file must have, None for any."""

    where: str
    source: str
    query: str = field(default="", repr=False)
    revision: str | None = None
    sha256: str | None = None

    @property
    def named_by(self) -> str:
        """The field that holds the address."""
        return self.where if self.where.startswith("--") else f"{self.where}.source"


def parse_source(fields: Fields, where: str) -> DataSource:
    """Takes `source`, `revision` and `sha256` of a data set; raises TrainingError with exit code 2."""
    text = fields.text("source")
    source, query = split_query(text)
    revision, sha = fields.optional_text("revision"), fields.optional_text("sha256")
    if text.startswith("http://"):
        raise invalid(f"{fields.path('source')}: {source} would come over the network as plain text; write https://")
    if source.startswith(HTTPS):
        _check_https(source, fields.path("source"))
    if revision is not None and not source.startswith(HUB):
        raise invalid(f"{fields.path('revision')}: is for hf:// only; leave it out")
    if sha is not None and not _SHA256.fullmatch(sha):
        raise invalid(
            f"{fields.path('sha256')}: must be the SHA-256 of the file, 64 of the characters 0-9 and a-f, not {sha!r}"
        )
    return DataSource(where, source, query, revision, sha)


def split_query(address: str) -> tuple[str, str]:
    """An address as it may be shown, and its query; a path of another scheme may have a `?` of its own."""
    if not address.startswith((HTTPS, "http://")):
        return address, ""
    source, _, query = address.partition("?")
    return source, query


def _check_https(source: str, where: str) -> None:
    try:
        parts = urlsplit(source)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if not named or parts.path in ("", "/") or parts.path.endswith("/"):
        raise invalid(
            f"{where}: must be the address of a file, such as https://data.example.com/rows.csv, not {source}"
        )
    if "@" in parts.netloc:
        # Its text is not shown: it holds a password.
        raise invalid(f"{where}: must not contain a user or password; use an address that is signed, or a bucket")
    if parts.fragment:
        raise invalid(f"{where}: must not contain '#'; write %23 where the name has one")

"""A real S3 server for tests, built and started by the project's other half."""

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_CANNOT_BE_BUILT = ("needs Go to be built", "go build of the S3 server failed")


@dataclass(frozen=True)
class S3Server:
    """`folder` holds a folder for each bucket, and in it a file for each object."""

    endpoint: str
    access_key: str
    secret_key: str
    folder: Path
    program: str

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """What a job says of S3, to reach it at its own address or through a proxy's."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_REGION": "us-east-1",
            "TRAININGJOB_S3_PATH_STYLE": "1",
        }

    def owner(self, bucket: str) -> dict[str, str]:
        """Makes a bucket, and the key of a user whom it belongs to and who has no right in any other."""
        access, secret = secrets.token_hex(10), secrets.token_hex(20)
        (self.folder / bucket).mkdir()
        self._admin("create-user", "--access", access, "--secret", secret, "--role", "user")
        self._admin("change-bucket-owner", "--bucket", bucket, "--owner", access)
        return {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}

    def _admin(self, *command: str) -> None:
        how = ["--access", self.access_key, "--secret", self.secret_key, "--endpoint-url", self.endpoint]
        subprocess.run([self.program, "admin", *how, *command], check=True, capture_output=True, timeout=30)


@contextmanager
def running_s3_server() -> Iterator[S3Server]:
    """Skips the test where the server cannot be had; a server that is there and does not start is a failure."""
    own = _ROOT / "node_modules" / ".bin" / "node"
    node = str(own) if own.exists() else shutil.which("node")
    if node is None:
        pytest.skip("the S3 server is built and started with Node, which is not here")
    process = subprocess.Popen(
        [node, str(_ROOT / "test" / "s3" / "main.ts")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        if line == "":
            words = process.stderr.read()
            if any(reason in words for reason in _CANNOT_BE_BUILT):
                pytest.skip(f"the S3 server cannot be built: {words[-300:]}")
            raise AssertionError(f"the S3 server did not start: {words[-2000:]}")
        said = json.loads(line)
        yield S3Server(said["endpoint"], said["accessKey"], said["secretKey"], Path(said["folder"]), said["program"])
    finally:
        # It ends with its standard input.
        process.stdin.close()
        process.wait(60)

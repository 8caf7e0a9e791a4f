"""How an S3 server is reached: from the environment, which the job's own configuration may complete."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from trainingjob.fields import Fields, invalid, shown

SCHEME = "s3://"
PATIENCE = "TRAININGJOB_S3_PATIENCE_SECONDS"
PATH_STYLE = "TRAININGJOB_S3_PATH_STYLE"

# What a job's environment may say of S3; the agent stores for the job, so it uses the same.
VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    PATH_STYLE,
    PATIENCE,
)


@dataclass(frozen=True)
class S3Settings:
    """`patience` is the time in seconds for which one operation is tried again. Secrets stay out of every text."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    region: str | None
    endpoint: str | None
    path_style: bool
    patience: float


def read_settings(environment: Mapping[str, str]) -> S3Settings:
    """Reads the settings; raises TrainingError with exit code 2 that says which variable to set."""
    missing = [name for name in VARIABLES[:2] if environment.get(name, "") == ""]
    if missing:
        raise invalid(
            f"not set: {', '.join(missing)}; s3:// addresses need a key, which a job gets from a Secret by spec.trainer.env"
        )
    style = environment.get(PATH_STYLE, "")
    if style not in ("", "0", "1"):
        raise invalid(f"{PATH_STYLE}: must be 1 or 0, not {style!r}")
    return S3Settings(
        access_key=environment[VARIABLES[0]],
        secret_key=environment[VARIABLES[1]],
        session_token=environment.get("AWS_SESSION_TOKEN") or None,
        region=environment.get("AWS_REGION") or None,
        endpoint=_endpoint("AWS_ENDPOINT_URL", environment.get("AWS_ENDPOINT_URL")),
        path_style=style == "1",
        patience=Fields(dict(environment), "").decimal(
            PATIENCE, "120", lambda number: number > 0, "a number of seconds above 0"
        ),
    )


def parse_s3(value: object) -> dict[str, str]:
    """Parses `storage.s3` into the variables that it stands for; raises TrainingError with exit code 2."""
    if value is None:
        return {}
    fields = Fields(value, "storage.s3")
    endpoint = _endpoint("storage.s3.endpoint", fields.optional_text("endpoint"))
    region, path_style = fields.optional_text("region"), fields.get("pathStyle")
    fields.close()
    if path_style not in (None, True, False) or isinstance(path_style, int) != isinstance(path_style, bool):
        raise invalid(f"storage.s3.pathStyle: must be true or false, not {shown(path_style)}")
    said = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": region,
        PATH_STYLE: None if path_style is None else str(int(path_style)),
    }
    return {name: text for name, text in said.items() if text is not None}


def _endpoint(where: str, value: str | None) -> str | None:
    if value is None or value == "":
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise invalid(f"{where}: must be an address such as https://s3.example.com, not {shown(value)}")
    if parts.username is not None or parts.password is not None:
        raise invalid(f"{where}: must not contain a user or password; keys travel in AWS_ACCESS_KEY_ID and its kin")
    return value

"""How an S3 server is reached: from the environment, which the job's own configuration may complete."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from trainingjob.fields import Fields, invalid, shown

SCHEME = "s3://"
KEYS = "TRAININGJOB_S3_KEYS"
PATIENCE = "TRAININGJOB_S3_PATIENCE_SECONDS"
PATH_STYLE = "TRAININGJOB_S3_PATH_STYLE"

_KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_HUB_VARIABLES = ("HF_TOKEN",)
_PLACE_VARIABLES = (*_KEY_VARIABLES, "AWS_REGION", "AWS_ENDPOINT_URL")

# What a job's environment may say of S3; the agent stores for the job, so it uses the same.
VARIABLES = (*_PLACE_VARIABLES, PATH_STYLE, PATIENCE)

Keys = dict[str, dict[str, str]]
"""Variables by the address, and all below it, that they open."""


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


def environment_of(address: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment that opens an address: with the key that `TRAININGJOB_S3_KEYS` has for it, or as it is.

    Keys are never mixed: an address with one of its own takes no part of the environment's. Of several that fit, the one
    with the longest address does.

    Raises:
        TrainingError: exit code 2 when the variable cannot be read.
    """
    text = environment.get(KEYS, "")
    try:
        keys = parse_keys(json.loads(text) if text else None)
    except ValueError:
        # Its text is not shown: it holds secrets.
        raise invalid(f"{KEYS}: is not JSON") from None
    fitting = [place for place in keys if address == place or address.startswith(f"{place}/")]
    if not fitting:
        return dict(environment)
    others = {name: value for name, value in environment.items() if name not in _KEY_VARIABLES}
    return {**others, **keys[max(fitting, key=len)]}


def parse_keys(value: object) -> Keys:
    """Parses `storage.keys`; raises TrainingError with exit code 2, without a value in its words."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid("storage.keys: must be an object of variables by address")
    for address, variables in value.items():
        if not isinstance(variables, dict) or not all(isinstance(text, str) for text in variables.values()):
            raise invalid(f"storage.keys: {address}: must be an object of texts")
        known = _HUB_VARIABLES if address.startswith("hf://") else _PLACE_VARIABLES
        unknown = next((name for name in variables if name not in known), None)
        if unknown is not None:
            raise invalid(f"storage.keys: {address}: {unknown} is not known. Known here: {', '.join(known)}")
        _endpoint(f"AWS_ENDPOINT_URL of the Secret for {address}", variables.get("AWS_ENDPOINT_URL"))
    return value


def read_settings(environment: Mapping[str, str]) -> S3Settings:
    """Reads the settings; raises TrainingError with exit code 2 that says which variable to set."""
    missing = [name for name in _KEY_VARIABLES[:2] if environment.get(name, "") == ""]
    if missing:
        raise invalid(
            f"not set: {', '.join(missing)}; s3:// addresses need a key, which a job gets from a Secret by the "
            "secretRef beside the address or by spec.trainer.env"
        )
    style = environment.get(PATH_STYLE, "")
    if style not in ("", "0", "1"):
        raise invalid(f"{PATH_STYLE}: must be 1 or 0, not {style!r}")
    return S3Settings(
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=environment["AWS_SECRET_ACCESS_KEY"],
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

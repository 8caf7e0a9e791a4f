"""What the agent starts as its child: command, environment, and where the agent's own files lie."""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

from trainingjob.agent.identity import Identity
from trainingjob.checkpoints import CHECKPOINTS_URI
from trainingjob.config import Config, Custom
from trainingjob.reporting import RULES
from trainingjob.resuming import RESUME
from trainingjob.storage.s3settings import KEYS, VARIABLES
from trainingjob.tabular.parameters import TabularConfig

# What of a job concerns the loop of any trainer.
_RULES = ("evaluation", "checkpoints", "scoring")
_PRIVATE = ("TRAININGJOB_TOKEN", "RUNPOD_API_KEY")
# A shorter value is a number of seconds, or a word that stands in any text.
_LEAST_SIGNATURE = 12
# Region and address of a bucket stand in its messages, and are no secrets.
_SECRET_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN")


def command_line(config: Config, workdir: Path) -> list[str]:
    """The job's own command, or this package on the configuration, which is written to a file."""
    if isinstance(config.trainer, Custom):
        return list(config.trainer.command)
    file = workdir / "config.json"
    # It holds the job's secrets.
    file.touch(mode=0o600)
    file.write_text(json.dumps(config.raw))
    return [sys.executable, "-m", "trainingjob", "run", "--config", str(file)]


def child_environment(config: Config, environment: Mapping[str, str]) -> dict[str, str]:
    """The pod's environment and the job's, without the keys that only the agent needs."""
    own = {name: value for name, value in environment.items() if name not in _PRIVATE}
    stored = {CHECKPOINTS_URI: config.storage.checkpoints, "TRAININGJOB_OUTPUT_URI": config.storage.output}
    rules = {name: config.raw[name] for name in _RULES if config.raw.get(name) is not None}
    resume = "" if config.resume is None else json.dumps(config.raw["resume"])
    addresses = {name: value for name, value in stored.items() if value is not None}
    return {**own, **config.env, **_storage(config), **addresses, RESUME: resume, RULES: json.dumps(rules)}


def secret_values(config: Config, environment: Mapping[str, str]) -> list[str]:
    """What nobody may read in the trainer's words: values of Secrets, the keys that only the agent needs, and what signs an address."""
    named = [config.env[name] for name in config.secret_env if name in config.env]
    places = [value for key in config.storage.keys.values() for name, value in key.items() if name in _SECRET_KEYS]
    return [*named, *places, *_signatures(config), *(environment[name] for name in _PRIVATE if name in environment)]


def _signatures(config: Config) -> list[str]:
    """What follows the `?` of the data's address, and what of it is long enough to be a key."""
    trainer = config.trainer
    if isinstance(trainer, Custom):
        return []
    query = (trainer.file if isinstance(trainer, TabularConfig) else trainer.dataset.file).query
    values = [value for _, value in parse_qsl(query)] + [part.partition("=")[2] for part in query.split("&")]
    return [query, *(value for value in values if len(value) >= _LEAST_SIGNATURE)]


def storage_environment(config: Config) -> dict[str, str]:
    """What the job says of S3: the agent stores beside the job's files, so it needs the same."""
    return {name: config.env[name] for name in VARIABLES if name in config.env} | _storage(config)


def _storage(config: Config) -> dict[str, str]:
    """How the folders of the run are reached; not the key of the data, which only who reads them needs."""
    storage = config.storage
    keys = {address: key for address, key in storage.keys.items() if address in (storage.checkpoints, storage.output)}
    return {**storage.s3, **({KEYS: json.dumps(keys)} if keys else {})}


def work_folder(identity: Identity) -> Path:
    """A folder of this attempt; where the image's folder is not ours to write, one for temporary files."""
    folder = Path.cwd() / ".trainingjob" / f"{identity.uid}-{identity.attempt}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="trainingjob-"))
    return folder

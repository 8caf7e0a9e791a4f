"""Which repository of the Hugging Face Hub a model goes to, and with whose token."""

import os
from dataclasses import dataclass
from typing import Any

from trainingjob.fields import Fields, invalid
from trainingjob.storage.s3settings import Keys

SCHEME = "hf://"
TOKEN = "HF_TOKEN"


@dataclass(frozen=True)
class HubTarget:
    """`repo` is OWNER/NAME."""

    repo: str
    private: bool

    @property
    def address(self) -> str:
        return f"{SCHEME}{self.repo}"


def parse_target(value: Any) -> HubTarget | None:
    """Parses `output.huggingFace`; raises TrainingError with exit code 2. A model that was trained on somebody's data is
    private, unless it is said to be otherwise."""
    if value is None:
        return None
    fields = Fields(value, "output.huggingFace")
    target = HubTarget(repo=fields.text("repo"), private=fields.boolean("private", True))
    fields.close()
    owner, _, name = target.repo.partition("/")
    if not owner or not name or "/" in name:
        raise invalid(f"output.huggingFace.repo: must be OWNER/NAME, not {target.repo!r}")
    return target


def token_of(target: HubTarget, keys: Keys) -> tuple[str, str]:
    """The token, and where a person changes it: that of the target's own Secret, else the job's.

    Raises:
        TrainingError: exit code 2 when there is neither.
    """
    own = keys.get(target.address, {}).get(TOKEN, "")
    if own:
        return own, f"{TOKEN} of the Secret in spec.output.huggingFace.secretRef"
    token = os.environ.get(TOKEN, "")
    if token == "":
        raise invalid(
            f"output.huggingFace: {target.repo} needs a token; a job gets it from key {TOKEN} of the Secret in "
            f"output.huggingFace.secretRef, or from {TOKEN} in spec.trainer.env"
        )
    return token, f"{TOKEN} in spec.trainer.env"

"""Who this pod is, from the environment that the operator and Runpod set."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainingjob.fields import Fields, invalid


@dataclass(frozen=True)
class Identity:
    """One attempt's pod. `url` is the operator's address, `runpod_url` that of Runpod's API; the last two are seconds from
    the agent's start, None when nothing was said of them."""

    uid: str
    namespace: str
    name: str
    attempt: int
    url: str
    token: str
    gpu_count: int
    pod_id: str
    pod_key: str
    runpod_url: str
    dead_man: float | None
    hard_end: float | None


def read_identity(environment: Mapping[str, str]) -> Identity:
    """Reads the identity; raises TrainingError with exit code 2 that names every variable that is missing."""
    names = ["UID", "NAMESPACE", "NAME", "ATTEMPT", "URL", "TOKEN"]
    needed = [f"TRAININGJOB_{name}" for name in names] + ["RUNPOD_POD_ID"]
    missing = [name for name in needed if environment.get(name, "") == ""]
    if missing:
        raise invalid(
            f"not set: {', '.join(missing)}; the operator sets them when it rents a pod, so start the agent by a TrainingJob"
        )
    for name in ("TRAININGJOB_ATTEMPT", "TRAININGJOB_GPU_COUNT"):
        if not environment.get(name, "0").isdecimal():
            raise invalid(f"{name}: must be a whole number, not {environment[name]!r}")
    return Identity(
        uid=environment["TRAININGJOB_UID"],
        namespace=environment["TRAININGJOB_NAMESPACE"],
        name=environment["TRAININGJOB_NAME"],
        attempt=int(environment["TRAININGJOB_ATTEMPT"]),
        url=environment["TRAININGJOB_URL"].rstrip("/"),
        token=environment["TRAININGJOB_TOKEN"],
        gpu_count=int(environment.get("TRAININGJOB_GPU_COUNT", "0")),
        pod_id=environment["RUNPOD_POD_ID"],
        pod_key=environment.get("RUNPOD_API_KEY", ""),
        runpod_url=environment.get("RUNPOD_API_URL", "https://api.runpod.io").rstrip("/"),
        dead_man=_seconds(environment, "TRAININGJOB_DEAD_MAN_SECONDS"),
        hard_end=_seconds(environment, "TRAININGJOB_HARD_END_SECONDS"),
    )


def _seconds(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(name, "")
    if text == "":
        return None
    return Fields({name: text}, "").decimal(name, text, lambda number: number >= 0, "a number of seconds of at least 0")

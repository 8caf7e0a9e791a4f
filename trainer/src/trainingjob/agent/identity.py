"""Who this pod is, from the environment that the operator and Runpod set."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainingjob.fields import Fields, invalid


@dataclass(frozen=True)
class Identity:
    """One attempt's pod. Either `url`, the operator's address, is set, or `listen`, where the operator calls this pod.
    `runpod_url` is the address of Runpod's API; the last two are seconds from the agent's start, None when nothing was
    said of them."""

    uid: str
    namespace: str
    name: str
    attempt: int
    url: str | None
    listen: tuple[str, int] | None
    token: str
    gpu_count: int
    pod_id: str
    pod_key: str
    runpod_url: str
    dead_man: float | None
    hard_end: float | None


def read_identity(environment: Mapping[str, str]) -> Identity:
    """Reads the identity; raises TrainingError with exit code 2 that names every variable that is missing."""
    names = ["UID", "NAMESPACE", "NAME", "ATTEMPT", "TOKEN"]
    needed = [f"TRAININGJOB_{name}" for name in names] + ["RUNPOD_POD_ID"]
    missing = [name for name in needed if environment.get(name, "") == ""]
    if missing:
        raise invalid(
            f"not set: {', '.join(missing)}; the operator sets them when it rents a pod, so start the agent by a TrainingJob"
        )
    url, listen = environment.get("TRAININGJOB_URL", "").rstrip("/"), _listen(environment)
    if (url == "") == (listen is None):
        raise invalid(
            "exactly one of TRAININGJOB_URL and TRAININGJOB_PORT must be set; the operator sets the one that fits "
            "spec.telemetry.transport, so start the agent by a TrainingJob"
        )
    for name in ("TRAININGJOB_ATTEMPT", "TRAININGJOB_GPU_COUNT"):
        if not environment.get(name, "0").isdecimal():
            raise invalid(f"{name}: must be a whole number, not {environment[name]!r}")
    return Identity(
        uid=environment["TRAININGJOB_UID"],
        namespace=environment["TRAININGJOB_NAMESPACE"],
        name=environment["TRAININGJOB_NAME"],
        attempt=int(environment["TRAININGJOB_ATTEMPT"]),
        url=url or None,
        listen=listen,
        token=environment["TRAININGJOB_TOKEN"],
        gpu_count=int(environment.get("TRAININGJOB_GPU_COUNT", "0")),
        pod_id=environment["RUNPOD_POD_ID"],
        pod_key=environment.get("RUNPOD_API_KEY", ""),
        runpod_url=environment.get("RUNPOD_API_URL", "https://api.runpod.io").rstrip("/"),
        dead_man=_seconds(environment, "TRAININGJOB_DEAD_MAN_SECONDS"),
        hard_end=_seconds(environment, "TRAININGJOB_HARD_END_SECONDS"),
    )


def _listen(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """The container's port; whoever runs containers as plain processes says where a process stands in for it."""
    port = environment.get("TRAININGJOB_PORT", "")
    if port == "":
        return None
    name = f"TRAININGJOB_LISTEN_{port}"
    host, _, number = environment.get(name, f"0.0.0.0:{port}").rpartition(":")
    if not (number.isdecimal() and 0 < int(number) < 65536):
        raise invalid(f"TRAININGJOB_PORT: must be a port, and {name} an address such as 127.0.0.1:8477")
    return host, int(number)


def _seconds(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(name, "")
    if text == "":
        return None
    return Fields({name: text}, "").decimal(name, text, lambda number: number >= 0, "a number of seconds of at least 0")

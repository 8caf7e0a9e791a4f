"""The pod's own key at Runpod: it can look at this pod and end it, nothing else."""

import threading

from trainingjob.agent.backoff import Backoff
from trainingjob.agent.http import send
from trainingjob.agent.identity import Identity


class PodKey:
    """What the pod can do about itself when the operator does not come."""

    def __init__(self, identity: Identity) -> None:
        self._url = f"{identity.runpod_url}/v2/pods/{identity.pod_id}"
        self._headers = {"Authorization": f"Bearer {identity.pod_key}", "Accept": "application/json"}
        self._present = identity.pod_key != ""

    def problem(self) -> str | None:
        """Why this pod could not end itself; None when the key opens it."""
        if not self._present:
            return "RUNPOD_API_KEY is not set in the pod"
        answer = send("GET", self._url, self._headers, timeout=15)
        return None if answer.status == 200 else f"Runpod answered {answer.status or 'nothing'} {answer.detail}".strip()

    def end_pod(self, stop: threading.Event) -> None:
        """Asks Runpod to end this pod until that happens: this process ends with it, or when `stop` is set."""
        backoff = Backoff(least=2, most=60)
        while not stop.is_set():
            answer = send("DELETE", self._url, self._headers, timeout=15)
            accepted = answer.status in (200, 202, 204, 404)
            # Accepted is not done: the pod is billed until it is gone, so it is asked for again.
            stop.wait(60 if accepted else backoff.next(answer.retry_after))

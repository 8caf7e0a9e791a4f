"""The operator's side of the protocol: configuration and events, in words of this program."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from trainingjob.agent.http import Answer
from trainingjob.agent.lease import Lease, parse_lease
from trainingjob.agent.line import Line

_NOT_DURABLE = "the answer does not acknowledge the batch"

Verdict = Literal["ok", "later", "superseded", "refused", "conflict"]


@dataclass(frozen=True)
class Reply:
    """What an answer means. `later`: keep and try again. `refused`: never send this again."""

    verdict: Verdict
    detail: str
    retry_after: float | None
    commands: list[dict[str, Any]]
    acknowledged: Any
    lease: Lease | None


class Operator:
    """Questions of one attempt, over whichever line. An answer may renew the token; the newest is used."""

    def __init__(self, line: Line, pod_id: str) -> None:
        self._line, self._pod_id = line, pod_id

    def config(self) -> tuple[Reply, Any]:
        """Asks for the configuration; the second part is it, when the verdict is ok."""
        answer = self._line.ask("config", None)
        return _reply(answer), answer.body

    def post(
        self, session: str, sequence: int | None, events: list[dict[str, Any]], stage: str, step: int | None
    ) -> Reply:
        """Sends a batch, or a sign of life when there are no events."""
        body: dict[str, Any] = {"session": session, "podID": self._pod_id, "stage": stage, "events": events}
        if sequence is not None:
            body["sequence"] = sequence
        if step is not None:
            body["step"] = step
        answer = self._line.ask("events", body)
        if answer.status == 200 and isinstance(answer.body, dict) and isinstance(answer.body.get("token"), str):
            self._line.renew(answer.body["token"])
        reply = _reply(answer)
        durable = sequence is None or reply.acknowledged == {"session": session, "sequence": sequence}
        # Whoever answered, say a proxy, did not say that this batch is durable.
        return reply if durable or reply.verdict != "ok" else replace(reply, verdict="later", detail=_NOT_DURABLE)


def _reply(answer: Answer) -> Reply:
    body = answer.body if isinstance(answer.body, dict) else {}
    commands = body.get("commands")
    if not isinstance(commands, list):
        commands = []
    verdict: Verdict = "ok" if answer.status == 200 and isinstance(answer.body, dict) else _verdict(answer.status)
    return Reply(
        verdict=verdict,
        detail=answer.detail or f"status {answer.status}",
        retry_after=answer.retry_after,
        commands=[command for command in commands if isinstance(command, dict)],
        acknowledged=body.get("acknowledged"),
        lease=parse_lease(body.get("lease")) if answer.status == 200 else None,
    )


def _verdict(status: int) -> Verdict:
    if status == 410:
        return "superseded"
    if status == 409:
        return "conflict"
    return "refused" if status in (400, 413, 415, 422) else "later"

"""How the agent's questions reach the operator. What is asked, and what an answer means, does not depend on it."""

from typing import Any, Literal, Protocol

from trainingjob.agent.http import Answer

Kind = Literal["config", "events"]


class Line(Protocol):
    """One question at a time; no answer is an answer with status 0, after a bounded time."""

    def ask(self, kind: Kind, body: dict[str, Any] | None) -> Answer:
        """Asks for the configuration, or hands over a batch, and waits for the answer."""
        ...

    def renew(self, token: str) -> None:
        """From now on this is the attempt's token."""
        ...

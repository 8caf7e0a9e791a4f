"""What a run is busy with, as the operator shows it and as its watchdogs need it."""

from trainingjob import reporting


def enter(stage: str, detail: str | None = None) -> None:
    """Reports the stage that begins, or how far it is."""
    reporting.emit({"type": "stage", "stage": stage} | ({} if detail is None else {"detail": detail}))

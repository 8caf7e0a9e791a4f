"""What a run tells beside its numbers."""

from trainingjob import reporting


def stage(name: str, detail: str | None = None) -> None:
    """Reports what the run does now."""
    reporting.emit({"type": "stage", "stage": name} | ({} if detail is None else {"detail": detail}))


def answer_learning_rate(answered: float | None) -> float | None:
    """Answers who wants another learning rate; each that is wanted, once."""
    wanted = reporting.wanted_learning_rate()
    if wanted is not None and wanted != answered:
        message = (
            f"the learning rate {wanted:g} was not taken: a tabular job keeps that of trainer.tabular.parameters to its end; "
            "begin a new run with another"
        )
        reporting.emit({"type": "alert", "name": "LearningRateRefused", "severity": "Warning", "message": message})
    return wanted

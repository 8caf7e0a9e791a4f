"""How faults of the data are said."""

from trainingjob.exitcodes import ExitCode, TrainingError


def bad_data(message: str) -> TrainingError:
    """Data that cannot be trained on, exit code 3."""
    return TrainingError(ExitCode.DATA, message)


def listed(names: list[str]) -> str:
    """Names of columns for a message, cut where there are many."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")

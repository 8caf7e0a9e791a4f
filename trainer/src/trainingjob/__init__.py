"""Trainer and agent that run in the pod of a TrainingJob."""

from trainingjob.reporting import report, should_stop

__version__ = "0.1.0"
__all__ = ["__version__", "report", "should_stop"]

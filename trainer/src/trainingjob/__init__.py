"""Trainer and agent that run in the pod of a TrainingJob."""

from trainingjob.reporting import checkpoint_requested, report, should_stop, wanted_learning_rate

__version__ = "0.1.0"
__all__ = ["__version__", "checkpoint_requested", "report", "should_stop", "wanted_learning_rate"]

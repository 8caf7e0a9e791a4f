"""One trial: a model trained with the parameters that were proposed, up to its best round."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainingjob import earlystopping, reporting
from trainingjob.earlystopping import EarlyStopping
from trainingjob.exitcodes import TrainingError
from trainingjob.progress import Progress
from trainingjob.scoring.best import BestTracker, Evaluation, Scoring
from trainingjob.tabular.families.family import FamilyModule
from trainingjob.tabular.hyperparameters import python_name
from trainingjob.tabular.measure import loss_on, measure
from trainingjob.tabular.pace import pace_of
from trainingjob.tabular.parameters import TabularConfig
from trainingjob.tabular.prepare import Prepared
from trainingjob.tabular.search.record import State
from trainingjob.tabular.search.study import Proposal
from trainingjob.tabular.tasks.task import Task


class Hopeless(Exception):
    """A trial that gives no model; the text says why."""


@dataclass(frozen=True)
class Setting:
    """What all trials of a search have in common. `every` is the rounds between evaluations, None: a tenth of them."""

    tabular: TabularConfig
    task: Task
    family: FamilyModule
    prepared: Prepared
    scoring: Scoring
    rule: EarlyStopping | None
    every: int | None


@dataclass
class Fit:
    """How far a trial came. `best` is its best round so far, whose model lies in the file that it was given; `state` is None where
    the run was asked to stop before the trial's end."""

    state: State | None = None
    reason: str | None = None
    best: int = 0
    score: float | None = None
    evaluations: dict[int, dict[str, float]] = field(default_factory=dict)
    reported: dict[int, float] = field(default_factory=dict)


def fit(setting: Setting, proposal: Proposal, path: Path, tell: Callable[[int, int], None]) -> Fit:
    """Trains one model. Whatever goes wrong in it is its own failure, and the search goes on.

    Args:
        path: File for the model of the best round.
        tell: Is called with round and rounds before the training, and after each evaluation but the last.
    """
    found = Fit()
    try:
        found.state = _trained(setting, proposal, path, tell, found)
    except Hopeless as error:
        found.state, found.reason = "Failed", str(error)
    except TrainingError:
        raise
    except Exception as error:
        # Libraries raise what they like for parameters that do not go together, and for numbers that ran away.
        text = next(iter(str(error).splitlines()), "")[:500]
        found.state, found.reason = "Failed", f"{type(error).__name__}: {text}"
    return found


def parameters_of(tabular: TabularConfig, proposal: dict[str, Any]) -> dict[str, Any]:
    """All parameters of the family with those that were proposed."""
    return {**tabular.parameters, **{python_name(name): value for name, value in proposal.items()}}


def _trained(
    setting: Setting, proposal: Proposal, path: Path, tell: Callable[[int, int], None], found: Fit
) -> State | None:
    parameters = parameters_of(setting.tabular, proposal.parameters)
    rounds = setting.tabular.family.steps
    pace = pace_of(1 if rounds is None else parameters[rounds], setting.every, segmented=setting.family.SEGMENTED)
    task, prepared = setting.task, setting.prepared
    model = setting.family.begin(replace(prepared.problem, parameters=parameters), None)
    progress = Progress(BestTracker(setting.scoring), prepared.table.sha256, evaluations=found.evaluations)
    step = 0
    tell(step, pace.steps)
    while step < pace.steps:
        step = pace.next(step)
        model.advance(step)
        if pace.evaluates(step):
            metrics, train_loss = measure(task, model, prepared.held_out), loss_on(task, model, prepared.train)
            if not math.isfinite(metrics["eval/loss"]) or not math.isfinite(train_loss):
                raise Hopeless(f"the loss at round {step} is not finite")
            found.evaluations[step] = {**metrics, "train/loss": train_loss}
            scored = progress.tracker.add(Evaluation(step, metrics["eval/loss"], train_loss, {**metrics}))
            if scored.score is None:
                raise Hopeless(f"{setting.scoring.metric} cannot be computed on these rows")
            score = progress.scores[step] = scored.score.score
            if scored.is_best:
                model.save(path)
                found.best, found.score = step, score
            found.reported[len(progress.scores)] = score
            hopeless = proposal.hopeless(len(progress.scores), score)
            if step == pace.steps or earlystopping.exhausted(setting.rule, progress):
                break
            if hopeless:
                found.reason = f"evaluation {len(progress.scores)} was worse than those of other trials"
                return "Pruned"
            tell(step, pace.steps)
        if reporting.should_stop() and step < pace.steps:
            return None
    return "Complete"

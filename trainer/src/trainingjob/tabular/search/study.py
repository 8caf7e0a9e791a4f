"""Optuna, asked for one trial at a time. What it proposes follows from the search's seed, the trial's number and the finished trials
alone, so that an attempt that goes on proposes what one without a break would have."""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from trainingjob.tabular.search.dimension import Dimension
from trainingjob.tabular.search.parameters import SearchConfig
from trainingjob.tabular.search.record import Trial

_STATES = {
    "Complete": optuna.trial.TrialState.COMPLETE,
    "Pruned": optuna.trial.TrialState.PRUNED,
    "Failed": optuna.trial.TrialState.FAIL,
}
# What the pruner keeps of a trial; the sampler of a grid keeps the whole grid, and needs none of it again.
_KEPT = "completed_rung_"

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Proposal:
    """A trial to be run: its number from 1, and values by the parameters' names."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial
        self.number = trial.number + 1
        self.parameters: dict[str, Any] = dict(trial.params)

    def hopeless(self, evaluation: int, score: float) -> bool:
        """Tells the score of an evaluation, numbered from 1; whether the pruner would end the trial there."""
        self._trial.report(score, evaluation)
        return self._trial.should_prune()

    def kept(self) -> dict[str, Any]:
        """What the pruner remembers of it."""
        attributes = self._trial.study.trials[-1].system_attrs
        return {name: value for name, value in attributes.items() if name.startswith(_KEPT)}


def propose(search: SearchConfig, finished: Sequence[Trial], evaluations: int) -> Proposal:
    """The next trial after those that are finished; each has so many evaluations."""
    distributions = {one.name: _distribution(one, grid=search.sampler == "Grid") for one in search.space}
    study = optuna.create_study(
        study_name="search",
        sampler=_sampler(search, len(finished)),
        pruner=_pruner(search, evaluations),
        direction="minimize",
    )
    study.add_trials(
        optuna.trial.create_trial(
            state=_STATES[trial.state],
            value=trial.score if trial.state == "Complete" else None,
            params=trial.parameters,
            distributions=distributions,
            intermediate_values=trial.reported,
            system_attrs=trial.kept,
        )
        for trial in finished
    )
    return Proposal(study.ask(distributions))


def _distribution(one: Dimension, *, grid: bool) -> BaseDistribution:
    values = one.values() if grid else one.choices
    if values:
        return CategoricalDistribution(values)
    assert one.low is not None and one.high is not None
    if one.whole:
        step = 1 if one.step is None else int(one.step)
        return IntDistribution(int(one.low), int(one.high), log=one.log, step=step)
    return FloatDistribution(one.low, one.high, log=one.log, step=one.step)


def _sampler(search: SearchConfig, finished: int) -> optuna.samplers.BaseSampler:
    if search.sampler == "Grid":
        # One seed for all trials: it is the order in which they go through the grid.
        return optuna.samplers.GridSampler({one.name: one.values() or () for one in search.space}, seed=search.seed)
    # Times a large prime: neighbouring seeds must not share trials.
    seed = (search.seed * 1_000_003 + finished) % 2**32
    if search.sampler == "Random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def _pruner(search: SearchConfig, evaluations: int) -> optuna.pruners.BasePruner:
    if search.pruner == "Median":
        # A low learning rate is behind at first, and often ahead at the end.
        return optuna.pruners.MedianPruner(n_warmup_steps=evaluations // 3)
    if search.pruner == "SuccessiveHalving":
        return optuna.pruners.SuccessiveHalvingPruner()
    return optuna.pruners.NopPruner()

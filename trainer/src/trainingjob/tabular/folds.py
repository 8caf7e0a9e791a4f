"""Cross-validation: what models of the same kind are worth on rows that they have not seen, fold by fold."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from trainingjob import reporting
from trainingjob.datafile import bad_data
from trainingjob.exitcodes import TrainingError
from trainingjob.tabular.data.pipeline import fit
from trainingjob.tabular.data.split import Rows
from trainingjob.tabular.data.transformed import transformed
from trainingjob.tabular.families.family import FamilyModule, Sample
from trainingjob.tabular.pace import pace_of
from trainingjob.tabular.parameters import TabularConfig
from trainingjob.tabular.prepare import Prepared, balanced
from trainingjob.tabular.tasks.task import Task
from trainingjob.tabular.told import stage

CROSS_VALIDATION = "cross_validation"


@dataclass(frozen=True)
class Folds:
    """`found` is the content of `cross_validation` in metrics.json, None where there is none; `absent` says why a figure, or all of
    it, is not there."""

    found: Mapping[str, Any] | None
    absent: Mapping[str, str]


NO_FOLDS = Folds(None, {})


class _Asked(Exception):
    """The run was asked to stop."""


def check_folds(tabular: TabularConfig, prepared: Prepared) -> None:
    """Refuses more folds than there are rows, or rows of a class.

    Raises:
        TrainingError: exit code 3, before anything is trained.
    """
    folds = tabular.folds
    if folds is None:
        return
    y = np.concatenate([prepared.train.y, prepared.held_out.y])
    if len(y) < folds:
        raise bad_data(
            f"{prepared.table.source}: {len(y)} rows cannot make {folds} folds; write a lower dataset.folds, or add rows"
        )
    for place, name in enumerate(prepared.classes):
        count = int(np.sum(y == place))
        if count < folds:
            raise bad_data(
                f'{prepared.table.source}: class "{name}" has {count} rows besides those of testSplit, fewer than the {folds} folds, each '
                "of which needs one; write a lower dataset.folds, or add rows of that class"
            )


def cross_validated(
    tabular: TabularConfig, task: Task, family: FamilyModule, prepared: Prepared, rounds: int, every: int | None
) -> Folds:
    """Trains a model for each fold of the training and evaluation rows, with the parameters and rounds of the result, and
    measures it on the rows that it has not seen. Rows of the test part are in none.

    Args:
        rounds: Of the result's best step; nothing is chosen by the rows of a fold.
        every: Rounds between evaluations of the run, as it was asked for.

    Returns:
        Mean and standard deviation over the folds of each metric; what went wrong is a reason and not the run's end, whose model is
        there.
    """
    if tabular.folds is None:
        return NO_FOLDS
    try:
        figures = [
            _fold(tabular, task, family, prepared, parts, f"fold {number} of {tabular.folds}", rounds, every)
            for number, parts in enumerate(_parts(tabular, prepared), start=1)
        ]
    except _Asked:
        return Folds(None, {CROSS_VALIDATION: "the run was asked to stop before all folds were done"})
    except Exception as error:
        # Libraries raise what they like, and the model that was paid for is there.
        what = str(error) if isinstance(error, TrainingError) else f"{type(error).__name__}: {error}"
        return Folds(None, {CROSS_VALIDATION: what[:1000]})
    names = {name: None for fold in figures for name in fold}
    absent = {
        f"{CROSS_VALIDATION}.{name}": "it cannot be computed on the rows of every fold"
        for name in names
        if not all(math.isfinite(fold.get(name, math.nan)) for fold in figures)
    }
    summary = {
        name: _summary([fold[name] for fold in figures]) for name in names if f"{CROSS_VALIDATION}.{name}" not in absent
    }
    told = ", ".join(f"{name} {one['mean']:.4f} ± {one['std']:.4f}" for name, one in summary.items())
    print(f"{tabular.folds} folds: {told}", flush=True)  # noqa: T201
    return Folds({"folds": tabular.folds, "rounds": rounds, **summary}, absent)


def _summary(values: list[float]) -> dict[str, Any]:
    return {"mean": float(np.mean(values)), "std": float(np.std(values)), "values": values}


def _parts(tabular: TabularConfig, prepared: Prepared) -> list[tuple[Rows, Rows]]:
    """Rows to train on and rows to measure on, of each fold."""
    rows = np.concatenate([prepared.train.rows, prepared.held_out.rows])
    y = np.concatenate([prepared.train.y, prepared.held_out.y])
    # In order of the table: the folds do not depend on evalSplit.
    order = np.argsort(rows)
    rows, y = rows[order], y[order]
    made = KFold if tabular.task == "regression" else StratifiedKFold
    folds = made(tabular.folds, shuffle=True, random_state=tabular.seed)
    return [(rows[train], rows[test]) for train, test in folds.split(rows, y)]


def _fold(
    tabular: TabularConfig,
    task: Task,
    family: FamilyModule,
    prepared: Prepared,
    parts: tuple[Rows, Rows],
    name: str,
    rounds: int,
    every: int | None,
) -> dict[str, float]:
    table = prepared.table
    y, _ = task.encode(table)
    pipeline, _ = fit(
        table.features,
        parts[0],
        tabular.preprocessing,
        tabular.preprocessing.encoding or tabular.family.encoding,
        tabular.preprocessing.scaling or tabular.family.scaling,
    )
    train, test = (transformed(pipeline, table, rows) for rows in parts)
    weight = balanced(y[train.kept]) if tabular.class_weight == "Balanced" else None
    sample = Sample(train.x, y[train.kept], weight)
    # As the run itself: on its device.
    problem = replace(
        prepared.problem, names=train.names, categorical=train.categorical, parameters=tabular.parameters, train=sample
    )
    model = family.begin(problem, None)
    steps = tabular.family.steps
    pace = pace_of(1 if steps is None else tabular.parameters[steps], every, segmented=family.SEGMENTED)
    step = 0
    stage("Evaluating", name)
    while step < rounds:
        if reporting.should_stop():
            raise _Asked
        # In the segments of the run itself: a model of the same rounds is made in the same way.
        step = min(rounds, pace.next(step))
        model.advance(step)
        if pace.evaluates(step) and step < rounds:
            stage("Evaluating", f"{name}, round {step} of {rounds}")
    predicted = model.predict(test.x)
    truth = y[test.kept]
    return {"loss": task.loss(truth, predicted), **task.evaluate(truth, predicted)}

"""From the configuration to what a model is fitted to."""

import tempfile
from dataclasses import dataclass, replace

import numpy as np

from trainingjob.datafile import bad_data
from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.inputs import Inputs
from trainingjob.tabular.data.kinds import Kind
from trainingjob.tabular.data.memory import inputs_in_chunks
from trainingjob.tabular.data.pipeline import Matrix, Pipeline, complete, fit
from trainingjob.tabular.data.split import Rows, Split, split_rows
from trainingjob.tabular.data.table import Selection, Table, read_table
from trainingjob.tabular.data.transformed import transformed
from trainingjob.tabular.families.family import Problem, Sample
from trainingjob.tabular.parameters import TabularConfig
from trainingjob.tabular.tasks.task import Task


@dataclass(frozen=True)
class Part:
    """Rows that a model is measured on."""

    rows: Rows
    x: Inputs
    y: Floats


@dataclass(frozen=True)
class Prepared:
    """All that training needs of the data. `test` is `held_out` where there is no test part. `notes` are sentences for the user."""

    table: Table
    split: Split
    pipeline: Pipeline
    problem: Problem
    classes: tuple[str, ...]
    train: Part
    held_out: Part
    test: Part
    notes: tuple[str, ...]


def prepare(tabular: TabularConfig, task: Task) -> Prepared:
    """Reads, splits and transforms; the pipeline is fitted on the training rows alone.

    Raises:
        TrainingError: exit code 3 for data that cannot be used, exit code 6 when storage does not answer.
    """
    kinds: dict[str, Kind] = dict(tabular.preprocessing.kinds)
    selection = Selection(
        tabular.target, tabular.features, tabular.excluded, kinds, tabular.bytes_per_number, tabular.family.streams
    )
    table = read_table(tabular.file, selection)
    y, classes = task.encode(table)
    notes: list[str] = []
    rows = _usable(tabular, table, y, classes, notes)
    split = split_rows(
        y, rows, tabular.eval_split, tabular.test_split, tabular.seed, stratified=tabular.task != "regression"
    )
    _check_classes(tabular, table, y[split.train], classes)
    pipeline, left_out = fit(
        table.features,
        split.train,
        tabular.preprocessing,
        tabular.preprocessing.encoding or tabular.family.encoding,
        tabular.preprocessing.scaling or tabular.family.scaling,
    )
    table = _placed(tabular, table, pipeline, len(rows))
    if table.folder is not None:
        notes.insert(
            0, "the rows are read from disk a part at a time, because the pod's memory would not hold them at once"
        )
    train, held_out = (transformed(pipeline, table, part) for part in (split.train, split.held_out))
    test = transformed(pipeline, table, split.test) if split.has_test else held_out
    weight = balanced(y[train.kept]) if tabular.class_weight == "Balanced" else None
    problem = Problem(
        task=tabular.task,
        classes=len(classes),
        names=train.names,
        categorical=train.categorical,
        parameters=tabular.parameters,
        train=Sample(train.x, y[train.kept], weight),
    )
    held_out_part = _part(held_out, y)
    return Prepared(
        table=table,
        split=split,
        pipeline=pipeline,
        problem=problem,
        classes=classes,
        train=_part(train, y),
        held_out=held_out_part,
        test=_part(test, y) if split.has_test else held_out_part,
        notes=(*notes, *left_out),
    )


def _placed(tabular: TabularConfig, table: Table, pipeline: Pipeline, rows: int) -> Table:
    """The table, with a folder for its rows where memory will not hold what the pipeline makes of them."""
    in_chunks = inputs_in_chunks(
        table.source,
        rows,
        len(table.features) + 1,
        pipeline.widths,
        tabular.bytes_per_number,
        one_hot=pipeline.encoding == "OneHot" and "Categorical" in pipeline.kinds.values(),
        streams=tabular.family.streams,
        stored=table.folder is not None,
    )
    if in_chunks and table.folder is None:
        return replace(table, folder=tempfile.TemporaryDirectory(prefix="table-"))
    return table


def _usable(tabular: TabularConfig, table: Table, y: Floats, classes: tuple[str, ...], notes: list[str]) -> Rows:
    rows = np.arange(len(y))
    if tabular.preprocessing.imputing != "Drop":
        return rows
    # A column without any value would drop every row; it is left out by itself.
    columns = tuple(column for column in table.features if not np.all(np.isnan(column.values)))
    kept: Rows = rows[complete(columns, rows)]
    if len(kept) == 0:
        raise bad_data(f"{table.source}: every row lacks a value; choose another preprocessing.imputing than Drop")
    lost = np.setdiff1d(np.arange(len(classes)), y[kept])
    if len(lost) > 0:
        raise bad_data(
            f'{table.source}: every row of class "{classes[int(lost[0])]}" lacks a value; choose another preprocessing.imputing than '
            "Drop, leave out the columns with gaps, or leave out the rows of that class"
        )
    if len(kept) < len(rows):
        notes.append(f"{len(rows) - len(kept)} of {len(rows)} rows lack a value and are left out")
    return kept


def _check_classes(tabular: TabularConfig, table: Table, y: Floats, classes: tuple[str, ...]) -> None:
    family = tabular.family
    for place, name in enumerate(classes):
        count = int(np.sum(y == place))
        if count < family.rows_per_class:
            raise bad_data(
                f'{table.source}: the training rows have {count} of class "{name}", and {family.name} needs {family.rows_per_class} of each '
                "class; add rows of that class, leave out those that are there, or choose another family"
            )


def _part(matrix: Matrix, y: Floats) -> Part:
    return Part(matrix.kept, matrix.x, y[matrix.kept])


def balanced(y: Floats) -> Floats:
    """Weights of rows, so that each class weighs the same in all and the mean weight is 1."""
    classes, places, counts = np.unique(y, return_inverse=True, return_counts=True)
    weights: Floats = (len(y) / (len(classes) * counts))[places]
    return weights

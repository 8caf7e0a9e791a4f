"""Rows of a table as a model takes them: in memory where the table is, on disk where it is not."""

import shutil
import uuid
from pathlib import Path

import numpy as np

from trainingjob.disk import no_room
from trainingjob.tabular.data.inputs import StoredMatrix, chunk_rows, whole
from trainingjob.tabular.data.pipeline import Matrix, Pipeline
from trainingjob.tabular.data.split import Rows
from trainingjob.tabular.data.table import Table

_NUMBER_BYTES = 8


def transformed(pipeline: Pipeline, table: Table, rows: Rows) -> Matrix:
    """What `pipeline.transform` makes of the rows, chunk by chunk where the table lies on disk.

    Raises:
        TrainingError: exit code 6 when the container's disk will not hold them.
    """
    if table.folder is None:
        return pipeline.transform(table.features, rows)
    first = pipeline.transform(table.features, rows[:0])
    folder = Path(table.folder.name)
    no_room(
        len(rows) * len(first.names) * _NUMBER_BYTES, shutil.disk_usage(folder).free, "the table as a model takes it"
    )
    x = StoredMatrix(folder / f"{uuid.uuid4()}.rows", len(first.names))
    kept: list[Rows] = []
    size = chunk_rows(len(first.names))
    for start in range(0, len(rows), size):
        part = pipeline.transform(table.features, rows[start : start + size])
        x.append(whole(part.x))
        kept.append(part.kept)
    return Matrix(x, first.names, first.categorical, np.concatenate([rows[:0], *kept]))

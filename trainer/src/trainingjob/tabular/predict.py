"""`trainingjob predict`: what a stored model says of the rows of a file."""

import tempfile
from pathlib import Path

import numpy as np

from trainingjob.datasource import DataSource, split_query
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.storage.manifest import Damaged, fetch_verified
from trainingjob.tabular.data.pipeline import Pipeline, read_pipeline
from trainingjob.tabular.data.table import Selection, read_table
from trainingjob.tabular.families.family import Predictor, family_module
from trainingjob.tabular.outline import Outline, read_schema
from trainingjob.tabular.predictions import write_predictions


def predict(model_uri: str, source: str, path: Path) -> str:
    """Predicts for every row of a file, and writes the predictions to another.

    Args:
        model_uri: Folder of a run's output.
        source: Address of a file with the columns that the model was trained on; others in it do not matter.
        path: File to write.

    Returns:
        A sentence that says what was done.

    Raises:
        TrainingError: exit code 3 for rows that cannot be used, exit code 6 when the model is not whole.
    """
    with tempfile.TemporaryDirectory(prefix="model-") as name:
        folder = Path(name)
        fetch_verified(model_uri, folder)
        outline, pipeline, model = _load(model_uri, folder)
        features = tuple(feature.name for feature in pipeline.features)
        data = DataSource("--data", *split_query(source))
        table = read_table(data, Selection(None, features, kinds=pipeline.kinds))
        rows = np.arange(len(table.lines))
        matrix = pipeline.transform(table.features, rows)
        if len(matrix.kept) == 0:
            raise TrainingError(
                ExitCode.DATA,
                f"{data.source}: every row lacks a value, and the model was trained on whole rows (imputing: Drop)",
            )
        gaps = frozenset(int(row) for row in np.setdiff1d(rows, matrix.kept))
        write_predictions(path, model.predict(matrix.x), outline.classes, gaps)
    left = f"; {len(gaps)} rows lack a value and have no prediction" if gaps else ""
    return f"{len(matrix.kept)} rows predicted by {outline.model_type}, written to {path}{left}"


def _load(uri: str, folder: Path) -> tuple[Outline, Pipeline, Predictor]:
    try:
        outline, pipeline = read_schema(folder), read_pipeline(folder)
        module = family_module(outline.family.name)
        model = module.load(folder / outline.family.model_file, outline.task, len(outline.classes))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{uri} is no model that this trainer stored: {error!r}") from error
    return outline, pipeline, model

"""The model as ONNX, for servers that have none of the libraries: made by the library's own exporter or by the project's that
converts it, and stored only when it says what the model says."""

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.inputs import Inputs, chunks
from trainingjob.tabular.families.family import Predictor, threads
from trainingjob.tabular.parameters import TabularConfig
from trainingjob.tabular.predicted import Predicted
from trainingjob.tabular.prepare import Prepared

ONNX_FILE = "model.onnx"
# ONNX computes in single precision.
TOLERANCE = 1e-4
_INPUT = "inputs"


@dataclass(frozen=True)
class Made:
    """`found` is what metrics.json says of it; None where it is not stored, and then `reason` says why."""

    found: Mapping[str, Any] | None
    reason: str | None = None


def write_onnx(
    tabular: TabularConfig, prepared: Prepared, model: Predictor, model_path: Path, predicted: Predicted, folder: Path
) -> Made:
    """Writes model.onnx into a folder, when onnxruntime predicts for the rows that the result is measured on what the model does.

    Args:
        predicted: What the model says of `prepared.test`.
    """
    columns = len(prepared.problem.names)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written = _WRITERS[tabular.family.name](tabular.task, model, model_path, columns)
        session = _session(written)
        difference = _difference(predicted, _all_asked(session, prepared.test.x))
    except Exception as error:
        # Exporters raise what they like, and the model that was paid for is there.
        text = next(iter(str(error).splitlines()), "")
        return Made(None, f"it could not be made: {type(error).__name__}: {text[:500]}")
    if not difference <= TOLERANCE:
        return Made(
            None, f"its predictions differ from those of the model by up to {difference:.3g}, more than {TOLERANCE:g}"
        )
    (folder / ONNX_FILE).write_bytes(written)
    names = sorted({"onnx", "onnxruntime", *_CONVERTERS[tabular.family.name]})
    return Made(
        {
            "file": ONNX_FILE,
            "input": {"name": session.get_inputs()[0].name, "type": "float32", "columns": columns},
            "outputs": [output.name for output in session.get_outputs()],
            "rows_compared": len(prepared.test.rows),
            "max_difference": difference,
            "tolerance": TOLERANCE,
            "versions": {name: version_of(name) for name in names},
        }
    )


def _session(written: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    # Some exporters write shapes that they do not keep; the values are compared all the same.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(written, options, providers=["CPUExecutionProvider"])


def _all_asked(session: Any, x: Inputs) -> Floats:
    return np.concatenate([_asked(session, part) for _, part in chunks(x)])


def _asked(session: Any, x: Floats) -> Floats:
    """The last output, (rows,) or (rows, classes); some exporters write it as a list of objects by class."""
    found = session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})[-1]
    if isinstance(found, list):
        found = [[row[name] for name in sorted(row)] for row in found]
    return np.asarray(found, dtype=np.float64)


def _difference(predicted: Predicted, found: Floats) -> float:
    """The largest one: of probabilities, or of a regression's numbers as a share of the largest of them."""
    wanted = predicted.probabilities
    if wanted is None:
        scale = max(1e-12, float(np.max(np.abs(predicted.values))))
        return float(np.max(np.abs(found.reshape(-1) - predicted.values))) / scale
    if found.size == len(wanted):
        # The probability of the second of two classes alone.
        found = np.column_stack([1 - found.reshape(-1), found.reshape(-1)])
    return float(np.max(np.abs(found - wanted)))


def _xgboost(task: str, model: Predictor, path: Path, columns: int) -> bytes:
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = xgboost.Booster(model_file=str(path))
    # It takes no other names.
    booster.feature_names = [f"f{place}" for place in range(columns)]
    made = convert_xgboost(booster, initial_types=[(_INPUT, FloatTensorType([None, columns]))])
    return bytes(made.SerializeToString())


def _lightgbm(task: str, model: Predictor, path: Path, columns: int) -> bytes:
    import lightgbm
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = lightgbm.Booster(model_file=str(path))
    made = convert_lightgbm(booster, initial_types=[(_INPUT, FloatTensorType([None, columns]))], zipmap=False)
    return bytes(made.SerializeToString())


def _catboost(task: str, model: Predictor, path: Path, columns: int) -> bytes:
    import catboost

    with tempfile.TemporaryDirectory(prefix="onnx-") as folder:
        file = Path(folder) / ONNX_FILE
        catboost.CatBoost().load_model(str(path)).save_model(str(file), format="onnx")
        return file.read_bytes()


def _sklearn(task: str, model: Predictor, path: Path, columns: int) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    estimator = model.own  # type: ignore[attr-defined]
    options = None if task == "regression" else {id(estimator): {"zipmap": False}}
    made = to_onnx(estimator, initial_types=[(_INPUT, FloatTensorType([None, columns]))], options=options)
    return bytes(made.SerializeToString())


def _keras(task: str, model: Predictor, path: Path, columns: int) -> bytes:
    import keras

    network = model.own  # type: ignore[attr-defined]
    # A network is loaded to the processor, and a pod's GPU would get what it is asked.
    with keras.device("cpu"), tempfile.TemporaryDirectory(prefix="onnx-") as folder:
        # It exports what was called before.
        network(np.zeros((1, columns), dtype=np.float32))
        file = Path(folder) / ONNX_FILE
        network.export(str(file), format="onnx", verbose=False)
        return file.read_bytes()


_WRITERS: Mapping[str, Callable[[str, Predictor, Path, int], bytes]] = {
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "random_forest": _sklearn,
    "svm": _sklearn,
    "keras": _keras,
}
_CONVERTERS: Mapping[str, tuple[str, ...]] = {
    "xgboost": ("onnxmltools",),
    "lightgbm": ("onnxmltools",),
    "catboost": (),
    "random_forest": ("skl2onnx",),
    "svm": ("skl2onnx",),
    "keras": ("onnxscript",),
}

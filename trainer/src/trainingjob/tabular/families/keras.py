"""Neural networks of Keras on torch, made so that a run that goes on from a file gives what it would have given without a break.

One step is one epoch. The order of its rows and what its dropout leaves out follow from the seed and its number alone."""

import json
import math
import os
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from trainingjob.fields import invalid
from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.inputs import Inputs, whole
from trainingjob.tabular.data.memory import available_bytes
from trainingjob.tabular.devices import Build, Device
from trainingjob.tabular.families.family import Problem, Sample, threads
from trainingjob.tabular.predicted import Predicted, of_classes, of_two

# Said before Keras is imported, which looks for TensorFlow otherwise.
os.environ["KERAS_BACKEND"] = "torch"
# Where nothing else is said: a model is asked on the CPU.
os.environ["KERAS_TORCH_DEVICE"] = "cpu"

import keras
import torch

SEGMENTED = False

_SEEDS = 2**31
_ROWS_AT_ONCE = 8192
# A weight, its gradient, and the two means that optimizers keep of it.
_BYTES_PER_WEIGHT = 16
_LOSSES = {
    "regression": "mean_squared_error",
    "binary_classification": "binary_crossentropy",
    "multiclass_classification": "sparse_categorical_crossentropy",
}
_ACTIVATIONS = {
    "regression": "linear",
    "binary_classification": "sigmoid",
    "multiclass_classification": "softmax",
}
# What a stored model may be made of; a file names classes, and nothing else of Keras or of others is to be made from it.
_KNOWN = {
    "keras": {"Sequential", "DTypePolicy"},
    "keras.layers": {"InputLayer", "Dense", "Dropout", "Rescaling"},
    "keras.initializers": {
        "Zeros",
        "GlorotUniform",
        "GlorotNormal",
        "HeUniform",
        "HeNormal",
        "LecunUniform",
        "LecunNormal",
        "RandomUniform",
        "RandomNormal",
    },
}


def builds() -> frozenset[Build]:
    return frozenset({"CUDA"}) if torch.cuda.is_available() else frozenset()


def begin(problem: Problem, model: Path | None, step: int = 0) -> "Training":
    _check_memory(problem)
    with keras.device(_place(problem.device)):
        network = _network(problem)
        if model is not None:
            try:
                # Weights and the optimizer's state; what the network is made of says the configuration and not the file.
                network.load_weights(str(model))
            except Exception as error:
                # Whatever the broken part happens to raise.
                raise ValueError(f"{model.name} is no state of this network: {str(error)[:300]}") from error
    return Training(network, problem)


def load(path: Path, task: str, classes: int) -> "Network":
    try:
        with zipfile.ZipFile(path) as archive:
            made_of = json.loads(archive.read("config.json"))
        made_of.pop("compile_config", None)
        _check_known(made_of)
        with keras.device("cpu"):
            return Network(keras.saving.load_model(str(path), compile=False, safe_mode=True), task)
    except Exception as error:
        raise ValueError(f"{path.name} is no model that can be trusted: {str(error)[:300]}") from error


class Network:
    """A network that is asked."""

    def __init__(self, model: Any, task: str, place: str = "cpu") -> None:
        torch.set_num_threads(threads())
        self._model, self._task, self._place = model, task, place

    @property
    def own(self) -> Any:
        """The network as Keras knows it."""
        return self._model

    def predict(self, x: Inputs) -> Predicted:
        x = whole(x)
        parts = []
        with torch.no_grad(), keras.device(self._place):
            for start in range(0, len(x), _ROWS_AT_ONCE):
                rows = _tensor(x[start : start + _ROWS_AT_ONCE])
                parts.append(keras.ops.convert_to_numpy(self._model(rows, training=False)))
        found = np.concatenate(parts).astype(np.float64)
        if self._task == "multiclass_classification":
            return of_classes(found)
        return Predicted(found[:, 0]) if self._task == "regression" else of_two(found[:, 0])

    def importance(self) -> None:
        return None


class Training(Network):
    """A network that is trained."""

    def __init__(self, model: Any, problem: Problem) -> None:
        super().__init__(model, problem.task, _place(problem.device))
        self._seed, self._batch = int(problem.parameters["random_state"]), int(problem.parameters["batch_size"])
        train = problem.train
        with keras.device(self._place):
            self._x, self._y = _tensor(whole(train.x)), _tensor(train.y)
            self._weight = None if train.weight is None else _tensor(train.weight)

    @property
    def done(self) -> int:
        return int(self._model.optimizer.iterations) // _batches(len(self._y), self._batch)

    def advance(self, to: int) -> None:
        with keras.device(self._place):
            for epoch in range(self.done + 1, to + 1):
                self._train(epoch)

    def save(self, path: Path) -> None:
        self._model.save(str(path))

    def _train(self, epoch: int) -> None:
        """Trains one epoch, numbered from 1."""
        chance = np.random.SeedSequence([self._seed, epoch])
        for layer in self._model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.seed_generator.state.assign(chance.spawn(1)[0].generate_state(2))
        order = torch.from_numpy(np.random.default_rng(chance).permutation(len(self._y)))
        for rows in order.to(self._x.device).split(self._batch):
            weight = None if self._weight is None else self._weight[rows]
            self._model.train_on_batch(self._x[rows], self._y[rows], sample_weight=weight)


def _place(device: Device) -> str:
    return f"cuda:{device.gpus[0]}" if device.how == "CUDA" else "cpu"


def _network(problem: Problem) -> Any:
    """The network before its first epoch."""
    seed = int(problem.parameters["random_state"])
    layers: list[Any] = [keras.Input((problem.train.x.shape[1],), name="columns")]
    for index, each in enumerate(problem.parameters["layers"], 1):
        if each["type"] == "Dropout":
            # Without a seed of its own the layer draws from torch's generator, which nothing here begins anew.
            layers.append(keras.layers.Dropout(each["rate"], seed=_seed_of(seed, index), name=f"dropout_{index}"))
        else:
            made = keras.initializers.get({"class_name": each["kernel_initializer"], "config": {}})
            initializer = type(made)(seed=_seed_of(seed, index))
            dense = keras.layers.Dense(each["units"], each["activation"], True, initializer, name=f"dense_{index}")
            layers.append(dense)
    last = keras.initializers.GlorotUniform(seed=_seed_of(seed, 0))
    outputs = problem.classes if problem.task == "multiclass_classification" else 1
    layers.append(keras.layers.Dense(outputs, _ACTIVATIONS[problem.task], True, last, name="output"))
    weight = 1.0
    if problem.task == "regression":
        # The network learns a target of mean 0 and deviation 1 and says it in the target's own unit: the loss is divided by what
        # the last layer multiplies with, so that a learning rate means the same for house prices and for shares.
        mean, deviation = _mean_and_deviation(problem.train)
        layers.append(keras.layers.Rescaling(deviation, offset=mean, name="unit"))
        weight = deviation**-2
    model = keras.Sequential(layers, name="network")
    model.compile(_optimizer(problem), loss=_LOSSES[problem.task], loss_weights=[weight], jit_compile=False)
    # The optimizer's variables exist from here on, so that there is something to load them into.
    model.optimizer.build(model.trainable_variables)
    return model


def _optimizer(problem: Problem) -> Any:
    chosen = problem.parameters
    updates = chosen["epochs"] * _batches(len(problem.train.y), chosen["batch_size"])
    rate: Any = chosen["learning_rate"]
    if chosen["learning_rate_schedule"] == "CosineDecay":
        rate = keras.optimizers.schedules.CosineDecay(rate, updates)
    elif chosen["learning_rate_schedule"] == "PolynomialDecay":
        rate = keras.optimizers.schedules.PolynomialDecay(rate, updates, end_learning_rate=0.0)
    match chosen["optimizer"]:
        case "adamw":
            return keras.optimizers.AdamW(rate, weight_decay=chosen["weight_decay"])
        case "sgd":
            return keras.optimizers.SGD(rate, momentum=chosen["momentum"])
        case "rmsprop":
            return keras.optimizers.RMSprop(rate)
        case "nadam":
            return keras.optimizers.Nadam(rate)
        case _:
            return keras.optimizers.Adam(rate)


def _check_memory(problem: Problem) -> None:
    """Refuses a network that the memory will not hold: it is asked before it is made, because it would be killed without a word."""
    widths = [problem.train.x.shape[1], *(each["units"] for each in problem.parameters["layers"] if "units" in each)]
    widths.append(max(1, problem.classes))
    weights = sum((before + 1) * after for before, after in pairwise(widths))
    needed, free = weights * _BYTES_PER_WEIGHT, available_bytes()
    if free is not None and needed > free:
        raise invalid(
            f"trainer.tabular.parameters.layers: {weights} weights take about {needed / 2**30:.1f} GiB of memory in training, and this "
            f"pod has {free / 2**30:.1f} GiB free; write fewer units or layers, or choose a candidate with more memory"
        )


def _check_known(value: Any) -> None:
    """Raises ValueError when what a file says of a model names a class that none of ours has."""
    if isinstance(value, list):
        for each in value:
            _check_known(each)
    elif isinstance(value, dict):
        if "class_name" in value and value["class_name"] not in _KNOWN.get(value.get("module") or "", ()):
            raise ValueError(f"it has a {value.get('module')}.{value['class_name']}")
        for each in value.values():
            _check_known(each)


def _mean_and_deviation(train: Sample) -> tuple[float, float]:
    return float(np.mean(train.y)), float(np.std(train.y)) or 1.0


def _batches(rows: int, batch: int) -> int:
    return math.ceil(rows / batch)


def _seed_of(seed: int, layer: int) -> int:
    return (seed * 1_000_003 + layer) % _SEEDS


def _tensor(values: Floats) -> Any:
    return keras.ops.convert_to_tensor(np.ascontiguousarray(values, dtype=np.float32))

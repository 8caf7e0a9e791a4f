"""The hidden layers of a neural network, as a list in `trainer.tabular.parameters`. What goes in and what comes out follows from
columns and target."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainingjob.fields import Fields, invalid, shown

MOST_LAYERS = 32
MOST_UNITS = 4096
ACTIVATIONS = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid", "linear")
INITIALIZERS = (
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "random_uniform",
    "random_normal",
)


@dataclass(frozen=True)
class Layers:
    """A list of `{type: Dense, units, activation, kernelInitializer}` and `{type: Dropout, rate}`, first to last; parsed to the
    same with Python's names."""

    name: str
    default: tuple[Mapping[str, Any], ...]

    def parse(self, fields: Fields, default: Any) -> list[dict[str, Any]]:
        where = fields.path(self.name)
        value = fields.get(self.name)
        value = list(default) if value is None else value
        if not isinstance(value, list) or not value:
            raise invalid(
                f"{where}: must be a list of layers, such as [{{type: Dense, units: 64, activation: relu}}], not {shown(value)}"
            )
        if len(value) > MOST_LAYERS:
            raise invalid(f"{where}: has {len(value)} layers; write at most {MOST_LAYERS}")
        layers = [_layer(each, f"{where}[{index}]") for index, each in enumerate(value)]
        if layers[0]["type"] == "Dropout":
            raise invalid(
                f"{where}: begins with Dropout, which goes behind a Dense layer, whose units it leaves out; write a Dense layer before it"
            )
        return layers


def _layer(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    kind = fields.choice("type", ("Dense", "Dropout"))
    for name in ("rate",) if kind == "Dense" else ("units", "activation", "kernelInitializer"):
        if fields.get(name) is not None:
            other = "Dropout" if kind == "Dense" else "Dense"
            raise invalid(f"{where}.{name}: goes with type {other}, not with {kind}; leave it out")
    layer: dict[str, Any] = {"type": kind}
    if kind == "Dropout":
        fields.require("rate")
        layer["rate"] = fields.decimal("rate", "", lambda rate: 0 < rate < 1, 'a number between 0 and 1, such as "0.5"')
    else:
        fields.require("units")
        layer["units"] = fields.integer("units", least=1, most=MOST_UNITS)
        layer["activation"] = fields.choice("activation", ACTIVATIONS)
        layer["kernel_initializer"] = fields.choice("kernelInitializer", INITIALIZERS, INITIALIZERS[0])
    fields.close()
    return layer

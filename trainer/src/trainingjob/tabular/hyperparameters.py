"""Kinds of hyper-parameters: each parses its member of `trainer.tabular.parameters` and has a default that is stated."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainingjob.fields import Fields, invalid, nearest
from trainingjob.tabular.layers import Layers

MOST_SEED = 2**32 - 1
# Libraries compute in single precision.
MOST_FLOAT = 1e38


@dataclass(frozen=True)
class Integer:
    """A whole number; without a default the library's own rule holds while it is absent."""

    name: str
    default: int | None
    least: int
    most: int = 2**53 - 1

    def parse(self, fields: Fields, default: Any) -> int | None:
        if fields.get(self.name) is None and default is None:
            return None
        return fields.integer(self.name, default, least=self.least, most=self.most)


@dataclass(frozen=True)
class Decimal:
    """A number that travels as a text; `above` leaves the lower bound itself out."""

    name: str
    default: str
    least: float = 0.0
    most: float = MOST_FLOAT
    above: bool = False

    def parse(self, fields: Fields, default: Any) -> float:
        high = "" if self.most == MOST_FLOAT else f" and at most {self.most:g}"
        wanted = (
            f"above {self.least:g}{high}"
            if self.above
            else f"from {self.least:g} to {'1e38' if self.most == MOST_FLOAT else format(self.most, 'g')}"
        )

        def fits(value: float) -> bool:
            return (self.least < value if self.above else self.least <= value) and value <= self.most

        return fields.decimal(self.name, default, fits, f"a number {wanted}")


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    name: str
    default: str
    known: tuple[str, ...]

    def parse(self, fields: Fields, default: Any) -> str:
        return fields.choice(self.name, self.known, str(default))


@dataclass(frozen=True)
class WordOrDecimal:
    """A word, or a number above zero that travels as a text."""

    name: str
    default: str
    words: tuple[str, ...]
    most: float = MOST_FLOAT

    def parse(self, fields: Fields, default: Any) -> str | float:
        value = fields.get(self.name)
        text = default if value is None else value
        if text in self.words:
            return str(text)
        high = "" if self.most == MOST_FLOAT else f" and at most {self.most:g}"
        wanted = f"{', '.join(self.words)} or a number above 0{high}"
        return fields.decimal(self.name, text, lambda number: 0 < number <= self.most, wanted)


@dataclass(frozen=True)
class Flag:
    """True or false."""

    name: str
    default: bool

    def parse(self, fields: Fields, default: Any) -> bool:
        return fields.boolean(self.name, default)


Hyperparameter = Integer | Decimal | Choice | WordOrDecimal | Flag | Layers
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Hyperparameters:
    """Those of one family. A preset is a set of other defaults, by the name that is given in `preset`."""

    known: tuple[Hyperparameter, ...]
    presets: Mapping[str, Mapping[str, Any]]


def python_name(name: str) -> str:
    """`maxDepth` is `max_depth` in Python."""
    return re.sub(r"([A-Z])", lambda match: f"_{match[1].lower()}", name)


def parse_hyperparameters(value: Any, family: str, mine: Hyperparameters, owners: Mapping[str, list[str]]) -> Values:
    """Parses `trainer.tabular.parameters`.

    Args:
        owners: Families by the parameters that they have, so that one of another family is refused as such.

    Returns:
        Every parameter of the family by its Python name.

    Raises:
        TrainingError: exit code 2, naming the parameter.
    """
    where = "trainer.tabular.parameters"
    fields = Fields({} if value is None else value, where)
    values = {python_name(name): parsed for name, parsed in _parsed(fields, mine).items()}
    for name in fields.left():
        if name in owners:
            known = [entry.name for entry in mine.known]
            raise invalid(
                f"{where}.{name}: is a parameter of {together(owners[name])}, not of {family}.{nearest(name, known)} "
                f"Those of {family}: {', '.join(known)}"
            )
    fields.close()
    return values


def default_values(mine: Hyperparameters) -> Values:
    """What parameters are that nobody names, by their Python names."""
    return {python_name(name): parsed for name, parsed in _parsed(Fields({}, ""), mine).items()}


def changed(value: Any, mine: Hyperparameters) -> frozenset[str]:
    """Parameters that have another value than their default beside the preset that is chosen."""
    given = value or {}
    found = _parsed(Fields(given, ""), mine)
    without = _parsed(Fields({"preset": given["preset"]} if "preset" in given else {}, ""), mine)
    return frozenset(name for name, parsed in found.items() if parsed != without[name])


def _parsed(fields: Fields, mine: Hyperparameters) -> dict[str, Any]:
    preset: Mapping[str, Any] = {}
    if mine.presets:
        preset = mine.presets[fields.choice("preset", tuple(mine.presets), "Default")]
    return {entry.name: entry.parse(fields, preset.get(entry.name, entry.default)) for entry in mine.known}


def together(names: list[str]) -> str:
    """Names as a sentence lists them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

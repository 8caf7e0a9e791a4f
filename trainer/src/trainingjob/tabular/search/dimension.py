"""One searched parameter: the values that trials take it from. Parsed without the library that draws them."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from trainingjob.fields import Fields, invalid, shown
from trainingjob.tabular.hyperparameters import Choice, Decimal, Flag, Hyperparameter, Integer

_MOST_CHOICES = 64
_MOST_GRID = 1000


@dataclass(frozen=True)
class Dimension:
    """`choices`, or numbers from `low` to `high`, both included: whole ones where `whole`, in strides of `step` or evenly by
    their logarithm (`log`)."""

    name: str
    whole: bool = False
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def values(self) -> tuple[Any, ...] | None:
        """All of them in order, for a grid; None where they are not finitely many."""
        if self.choices:
            return self.choices
        assert self.low is not None and self.high is not None
        if self.step is None:
            return None if self.log or not self.whole else tuple(range(int(self.low), int(self.high) + 1))
        # Exactly, as the texts say: three times 0.1 is 0.3.
        low, step = Fraction(str(self.low)), Fraction(str(self.step))
        count = int((Fraction(str(self.high)) - low) / step) + 1
        if count > _MOST_GRID:
            return None
        found = (float(low + step * place) for place in range(count))
        return tuple(int(value) for value in found) if self.whole else tuple(found)

    def document(self) -> dict[str, Any]:
        """As search.json says it."""
        if self.choices:
            return {"name": self.name, "choices": list(self.choices)}
        found: dict[str, Any] = {"name": self.name, "low": self.low, "high": self.high}
        return found | ({} if self.step is None else {"step": self.step}) | ({"log": True} if self.log else {})


def parse_dimension(value: Mapping[str, Any], where: str, known: dict[str, Hyperparameter]) -> Dimension:
    """Parses one entry of `space`, whose name was found to be one of the family's parameters.

    Raises:
        TrainingError: exit code 2, naming the parameter.
    """
    name = value["name"]
    entry, where = known[name], f"{where}, {name}"
    fields = Fields({key: given for key, given in value.items() if key != "name"}, where)
    raw = {key: fields.get(key) for key in ("low", "high", "step", "choices")}
    log = fields.boolean("log", False)
    fields.close()
    if raw["choices"] is not None:
        extra = next((key for key in ("low", "high", "step", "log") if fields.get(key) not in (None, False)), None)
        if extra is not None:
            raise invalid(f"{where}: {extra} goes without choices; write choices, or low and high")
        return Dimension(name, choices=_choices(raw["choices"], where, entry))
    if raw["low"] is None or raw["high"] is None:
        raise invalid(f"{where}: write low and high, or choices")
    if isinstance(entry, (Choice, Flag)):
        raise invalid(f"{where}: takes words, not a range; write choices")
    low, high = (_number(raw[key], where, key, entry) for key in ("low", "high"))
    if low >= high:
        raise invalid(f"{where}: low {low:g} must be below high {high:g}; a single value belongs in parameters")
    if log and low <= 0:
        raise invalid(f"{where}: log needs a low above 0, not {low:g}")
    if log and raw["step"] is not None:
        raise invalid(f"{where}: step and log exclude each other; leave one out")
    step = None if raw["step"] is None else _step(raw["step"], where, whole=isinstance(entry, Integer))
    return Dimension(name, isinstance(entry, Integer), low, high, step, log)


def _choices(value: Any, where: str, entry: Hyperparameter) -> tuple[Any, ...]:
    if not isinstance(value, list) or not 2 <= len(value) <= _MOST_CHOICES:
        raise invalid(
            f"{where}: choices must be a list of 2 to {_MOST_CHOICES} values, not {shown(value)}; a single value belongs in "
            "parameters"
        )
    found = tuple(_value(given, f"{where}, choices", entry) for given in value)
    doubled = next((given for place, given in enumerate(found) if given in found[:place]), None)
    if doubled is not None:
        raise invalid(f"{where}: choices name {doubled} twice; name each value once")
    return found


def _value(given: Any, where: str, entry: Hyperparameter) -> Any:
    """A value that the parameter takes. Truth values travel as texts where a list holds texts and numbers alone."""
    if isinstance(entry, Flag) and given in ("true", "false"):
        given = given == "true"
    if given is None:
        raise invalid(f"{where}: holds nothing; write a value")
    return entry.parse(Fields({entry.name: given}, where), given)


def _number(given: Any, where: str, key: str, entry: Hyperparameter) -> float:
    found = _value(given, f"{where}, {key}", entry)
    if isinstance(found, str):
        raise invalid(f"{where}: {key} must be a number, not {shown(given)}; words are written as choices")
    return found  # type: ignore[no-any-return]


def _step(given: Any, where: str, *, whole: bool) -> float:
    fields = Fields({"step": given}, where)
    return fields.integer("step", least=1) if whole else Decimal("step", "1", above=True).parse(fields, "1")

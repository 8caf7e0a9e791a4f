"""The configuration of a search, `trainer.tabular.search`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, get_args

from trainingjob.fields import Fields, invalid, nearest, shown
from trainingjob.tabular.families.known import Family, owners
from trainingjob.tabular.hyperparameters import MOST_SEED, together
from trainingjob.tabular.search.dimension import Dimension, parse_dimension
from trainingjob.tabular.search.spaces import SPACES

Sampler = Literal["TPE", "Random", "Grid"]
Pruner = Literal["None", "Median", "SuccessiveHalving"]
MOST_TRIALS = 1000
_PRUNERS = ("Auto", *get_args(Pruner))
_WHERE = "trainer.tabular.search"
# Which parameters no search chooses, and why.
_FIXED = {
    "randomState": "is a seed, and choosing one is choosing by luck; write it in parameters",
    "layers": "is a list, not a value; write it in parameters",
    "preset": "is a set of other defaults; write it in parameters",
}

Idle = Callable[[str, Mapping[str, Dimension]], str | None]


@dataclass(frozen=True)
class SearchConfig:
    """`trials` are those that a grid has where it has fewer than were asked for, which are `wanted`. Seconds; None: no limit."""

    sampler: Sampler
    trials: int
    wanted: int
    timeout_seconds: int | None
    pruner: Pruner
    seed: int
    space: tuple[Dimension, ...]


def parse_search(value: Any, family: Family, given: Mapping[str, Any], idle: Idle) -> SearchConfig:
    """Parses `trainer.tabular.search`.

    Args:
        given: What `trainer.tabular.parameters` says: such a parameter is not searched.
        idle: Says of a parameter why it would have no effect, beside those that are searched.

    Raises:
        TrainingError: exit code 2, with what is wrong and what to write instead.
    """
    fields = Fields(value, _WHERE)
    sampler = fields.choice("sampler", get_args(Sampler), "TPE")
    wanted = fields.integer("trials", 20, least=1, most=MOST_TRIALS)
    timeout = None if fields.get("timeoutSeconds") is None else fields.integer("timeoutSeconds", least=1)
    pruner = _pruner(fields.choice("pruner", _PRUNERS, "Auto"), family)
    seed = fields.integer("seed", 42, most=MOST_SEED)
    space = _space(fields.get("space"), family, sampler, given, idle)
    fields.close()
    trials = min(wanted, _combinations(space)) if sampler == "Grid" else wanted
    return SearchConfig(sampler, trials, wanted, timeout, pruner, seed, space)


def _pruner(wanted: str, family: Family) -> Pruner:
    if wanted == "Auto":
        return "None" if family.steps is None else "Median"
    if family.steps is None and wanted != "None":
        raise invalid(
            f"{_WHERE}.pruner: {family.name} is fitted at once, so there is nothing to end before it is done; leave it out"
        )
    return next(name for name in get_args(Pruner) if name == wanted)


def _space(value: Any, family: Family, sampler: str, given: Mapping[str, Any], idle: Idle) -> tuple[Dimension, ...]:
    where = f"{_WHERE}.space"
    entries = [] if value is None else value
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise invalid(f"{where}: must be a list of objects with name, and low and high or choices, not {shown(value)}")
    known = {entry.name: entry for entry in family.hyperparameters.known}
    own: dict[str, Dimension] = {}
    for place, entry in enumerate(entries):
        name = Fields(entry, f"{where}[{place}]").text("name")
        _check_name(name, family, list(known))
        if name in own:
            raise invalid(f"{where}: names {name} twice; name each parameter once")
        if name in given:
            raise invalid(
                f"{where}: {name} is in trainer.tabular.parameters, too, which fixes it; leave it out of one of them"
            )
        own[name] = parse_dimension(entry, where, known)
    for name in own:
        reason = idle(name, own)
        if reason is not None:
            raise invalid(f"{where}: {name} {reason}")
    if sampler == "Grid":
        return _grid(tuple(own.values()))
    behind = {
        str(entry["name"]): parse_dimension(entry, where, known)
        for entry in SPACES[family.name]
        if entry["name"] not in own and entry["name"] not in given
    }
    found = {**{name: one for name, one in behind.items() if idle(name, own) is None}, **own}
    if not found:
        raise invalid(
            f"{where}: nothing is left to search, as parameters fix all; leave some of them out of parameters"
        )
    return tuple(found[name] for name in known if name in found)


def _check_name(name: str, family: Family, known: list[str]) -> None:
    where = f"{_WHERE}.space"
    if name in _FIXED:
        raise invalid(f"{where}: {name} {_FIXED[name]}")
    if name in known:
        return
    elsewhere = owners().get(name)
    if elsewhere:
        raise invalid(
            f"{where}: {name} is a parameter of {together(elsewhere)}, not of {family.name}.{nearest(name, known)} "
            f"Those of {family.name}: {', '.join(known)}"
        )
    raise invalid(f"{where}: {name} is not known.{nearest(name, known)} Those of {family.name}: {', '.join(known)}")


def _grid(space: tuple[Dimension, ...]) -> tuple[Dimension, ...]:
    where = f"{_WHERE}.space"
    if not space:
        raise invalid(f"{where}: a grid has the values that you name; write the parameters to search, such as choices")
    endless = next((one.name for one in space if one.values() is None), None)
    if endless is not None:
        raise invalid(
            f"{where}: {endless} has no step that a grid could take it in; write choices or step, without log"
        )
    return space


def _combinations(space: tuple[Dimension, ...]) -> int:
    return prod(len(one.values() or ()) for one in space)

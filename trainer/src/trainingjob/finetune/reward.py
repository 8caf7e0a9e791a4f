"""What RLHF learns from: what the job says of it, and the functions that it can name."""

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainingjob.fields import Fields, invalid, shown
from trainingjob.finetune import entrypoint
from trainingjob.finetune.words import one_of

Function = Callable[..., list[float | None]]

FUNCTIONS = ("Format", "JSON", "ExactMatch", "Length", "EntryPoint")
# The member that a function needs, and nothing else has.
_NEEDS = {"Format": "pattern", "Length": "targetTokens", "EntryPoint": "entryPoint"}


@dataclass(frozen=True)
class RewardFunction:
    """One function; `pattern`, `target_tokens` and `entry_point` are set where its name needs them."""

    name: str
    weight: float
    pattern: str | None
    target_tokens: int | None
    entry_point: str | None


@dataclass(frozen=True)
class Reward:
    """The sum of functions and of a model's verdict, each with its weight."""

    functions: tuple[RewardFunction, ...]
    model: str | None
    model_weight: float


def parse_reward(value: Any) -> Reward:
    """Parses `trainer.fineTune.reward`; raises TrainingError with exit code 2."""
    where = "trainer.fineTune.reward"
    fields = Fields(value, where)
    functions, model = fields.get("functions") or [], fields.get("model")
    fields.close()
    if not isinstance(functions, list):
        raise invalid(f"{where}.functions: must be a list, not {shown(functions)}")
    if not functions and model is None:
        raise invalid(f"{where}: write functions, a model, or both; RLHF learns from nothing else")
    source, weight = None, 1.0
    if model is not None:
        inner = Fields(model, f"{where}.model")
        source, weight = inner.text("source"), _weight(inner)
        inner.close()
    return Reward(
        functions=tuple(_function(each, f"{where}.functions[{index}]") for index, each in enumerate(functions)),
        model=source,
        model_weight=weight,
    )


def reward_functions(reward: Reward) -> list[Function]:
    """The named functions, as TRL calls them.

    Raises:
        TrainingError: exit code 2, when an entry point is not in the image.
    """
    return [_made(each) for each in reward.functions]


def _function(value: Any, where: str) -> RewardFunction:
    fields = Fields(value, where)
    name = one_of(fields, "name", FUNCTIONS)
    needed = _NEEDS.get(name)
    for member in _NEEDS.values():
        given = fields.get(member) is not None
        if given != (member == needed):
            raise invalid(f"{where}.{member}: {'is for another function than' if given else 'is needed by'} {name}")
    found = RewardFunction(
        name=name,
        weight=_weight(fields),
        pattern=fields.optional_text("pattern"),
        target_tokens=fields.integer("targetTokens", least=1, most=1_048_576) if needed == "targetTokens" else None,
        entry_point=fields.optional_text("entryPoint"),
    )
    fields.close()
    if found.pattern is not None:
        try:
            re.compile(found.pattern)
        except re.error as error:
            raise invalid(f"{where}.pattern: is no regular expression: {error}") from error
    return found


def _weight(fields: Fields) -> float:
    return fields.decimal("weight", "1", lambda weight: abs(weight) <= 1000, "a number from -1000 to 1000")


def _made(function: RewardFunction) -> Function:
    if function.name == "EntryPoint":
        return _entry_point(function.entry_point or "")
    pattern, target = re.compile(function.pattern or ""), function.target_tokens or 1

    def format(completions: list[Any], **_: Any) -> list[float | None]:
        return [float(pattern.search(text_of(each)) is not None) for each in completions]

    def json_validity(completions: list[Any], **_: Any) -> list[float | None]:
        return [float(_is_json(text_of(each))) for each in completions]

    def exact_match(completions: list[Any], answer: list[str], **_: Any) -> list[float | None]:
        return [
            float(text_of(each).strip() == wanted.strip()) for each, wanted in zip(completions, answer, strict=True)
        ]

    def length(completion_ids: list[list[int]], **_: Any) -> list[float | None]:
        return [1 - min(1.0, abs(len(ids) - target) / target) for ids in completion_ids]

    by_name: dict[str, Function] = {
        "Format": format, "JSON": json_validity, "ExactMatch": exact_match, "Length": length,
    }  # fmt: skip
    return by_name[function.name]


def text_of(completion: Any) -> str:
    """The words of an answer, which is a text or a list of messages."""
    return completion if isinstance(completion, str) else "".join(str(turn["content"]) for turn in completion)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _entry_point(name: str) -> Function:
    where = "trainer.fineTune.reward.functions: entryPoint"
    found = entrypoint.load(name, where)
    if not callable(found):
        raise invalid(f"{where} {name} is no function")
    return _with_members(found)


def _with_members(function: Any) -> Function:
    """Calls it with each member of the rows by its name. The library tells what is to be awaited before it calls it."""

    def by_name(members: list[str], given: dict[str, Any]) -> dict[str, Any]:
        rows = [json.loads(each) for each in members]
        return given | {name: [row[name] for row in rows] for name in rows[0]}

    def called(members: list[str], **given: Any) -> Any:
        return function(**by_name(members, given))

    async def awaited(members: list[str], **given: Any) -> Any:
        return await function(**by_name(members, given))

    waits = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
    made: Any = awaited if waits else called
    # Its metrics bear it.
    made.__name__ = getattr(function, "__name__", type(function).__name__)
    return made  # type: ignore[no-any-return]

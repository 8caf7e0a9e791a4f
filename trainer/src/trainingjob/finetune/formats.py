"""Formats of data sets: recognised by the first row, and every row brought to the one form that the method trains on.

`messages` is a list of {"role", "content"} with at least one turn of the assistant; `text` is plain text; a preference pair
is {"prompt", "chosen", "rejected"} of messages or of texts; a prompt is {"prompt", "answer", "members"}, where the last is an object in
JSON: what else the row has, for rewards, and what other rows have and this one lacks.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainingjob.datafile import bad_data
from trainingjob.finetune.rows import Row

_ROLES = ("system", "user", "assistant", "tool")
_SHAREGPT = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "tool": "tool",
}
_MOST_SHOWN = 120
# What chat templates read of a message and of a row besides roles and contents. Without it, another conversation would be trained on.
_OF_MESSAGES = {
    "tool_calls": "calls of tools",
    "function_call": "calls of tools",
    "tool_call_id": "calls of tools",
    "name": "names",
    "reasoning_content": "thoughts",
    "thinking": "thoughts",
}
_OF_ROWS = {"tools": "descriptions of tools", "functions": "descriptions of tools"}
_NOTHING: tuple[Any, ...] = (None, "", "[]", [], {})
# What rewards are called with besides.
_GIVEN = ("prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric")


class _Wrong(Exception):
    """A row that is not as its format wants it."""


@dataclass(frozen=True)
class Format:
    """One format: the members that its rows have, and how a row is converted."""

    name: str
    members: tuple[str, ...]
    expected: str
    convert: Callable[[Row], Row]


def _messages(row: Row, member: str = "messages") -> Row:
    return {"messages": _turns(row[member], member)}


def _turns(value: Any, member: str) -> list[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise _Wrong(f'"{member}" must be a list of at least one message, not {_shown(value)}')
    return [_turn(turn, f"{member}[{index}]") for index, turn in enumerate(value)]


def _turn(turn: Any, where: str) -> dict[str, str]:
    if not isinstance(turn, dict):
        raise _Wrong(f"{where} must be an object of role and content, not {_shown(turn)}")
    _refuse_more(turn, f"{where}.", _OF_MESSAGES)
    if turn.get("role") not in _ROLES:
        raise _Wrong(f"{where}.role must be one of {', '.join(_ROLES)}, not {_shown(turn.get('role'))}")
    return {"role": turn["role"], "content": _text(turn.get("content"), f"{where}.content")}


def _refuse_more(value: Row, where: str, left_out: dict[str, str]) -> None:
    for name, what in left_out.items():
        if value.get(name) not in _NOTHING:
            raise _Wrong(
                f"{where}{name}: {what} are not trained on; write what is to be learned of them as content of a message, and leave "
                f"{name} out"
            )


def _sharegpt(row: Row) -> Row:
    turns = row["conversations"]
    if not isinstance(turns, list) or not turns:
        raise _Wrong(f'"conversations" must be a list of at least one message, not {_shown(turns)}')
    converted = []
    for index, turn in enumerate(turns):
        where = f"conversations[{index}]"
        if not isinstance(turn, dict) or turn.get("from") not in _SHAREGPT:
            named = turn.get("from") if isinstance(turn, dict) else turn
            raise _Wrong(f"{where}.from must be one of {', '.join(_SHAREGPT)}, not {_shown(named)}")
        _refuse_more(turn, f"{where}.", _OF_MESSAGES)
        converted.append({"role": _SHAREGPT[turn["from"]], "content": _text(turn.get("value"), f"{where}.value")})
    return {"messages": converted}


def _alpaca(row: Row) -> Row:
    instruction = _text(row["instruction"], '"instruction"')
    more = row.get("input")
    asked = instruction if more in (None, "") else "\n\n".join((instruction, _text(more, '"input"')))
    return _exchange(asked, _text(row["output"], '"output"'), row.get("system"))


def _openorca(row: Row) -> Row:
    return _exchange(
        _text(row["question"], '"question"'), _text(row["response"], '"response"'), row.get("system_prompt")
    )


def _completion(row: Row) -> Row:
    return _exchange(_text(row["prompt"], '"prompt"'), _text(row["completion"], '"completion"'), None)


def _exchange(asked: str, answered: str, system: Any) -> Row:
    before = [{"role": "system", "content": _text(system, "the system prompt")}] if system not in (None, "") else []
    return {"messages": [*before, {"role": "user", "content": asked}, {"role": "assistant", "content": answered}]}


def _plain(row: Row) -> Row:
    return {"text": _text(row["text"], '"text"')}


def _pair(row: Row) -> Row:
    sides = {name: row[name] for name in ("prompt", "chosen", "rejected")}
    if all(isinstance(side, list) for side in sides.values()):
        pair: Row = {name: _turns(side, name) for name, side in sides.items()}
    else:
        pair = {name: [{"role": role, "content": _text(sides[name], f'"{name}"')}] for name, role in _SIDES}
    if pair["chosen"] == pair["rejected"]:
        raise _Wrong('"chosen" and "rejected" are the same; there is nothing to prefer')
    return pair


_SIDES = (("prompt", "user"), ("chosen", "assistant"), ("rejected", "assistant"))


def _pair_without_prompt(row: Row) -> Row:
    """Two whole conversations that part somewhere: what they have in common is the prompt."""
    chosen, rejected = _turns(row["chosen"], "chosen"), _turns(row["rejected"], "rejected")
    common = 0
    while common < min(len(chosen), len(rejected)) and chosen[common] == rejected[common]:
        common += 1
    if common == 0 or common == len(chosen) or common == len(rejected):
        raise _Wrong('"chosen" and "rejected" must begin with the same messages and then part')
    return {"prompt": chosen[:common], "chosen": chosen[common:], "rejected": rejected[common:]}


def _prompt(row: Row) -> Row:
    prompt = row["prompt"]
    turns = (
        _turns(prompt, "prompt")
        if isinstance(prompt, list)
        else [{"role": "user", "content": _text(prompt, '"prompt"')}]
    )
    if turns[-1]["role"] == "assistant":
        raise _Wrong('"prompt" ends with a turn of the assistant; there is nothing left to answer')
    answer = row.get("answer")
    return _asked(row, turns, "" if answer is None else _text(answer, '"answer"'))


def _last_turn(row: Row) -> Row:
    """A conversation whose last turn, the assistant's, is the answer to what stands before it."""
    turns = _turns(row["messages"], "messages")
    if len(turns) < 2 or turns[-1]["role"] != "assistant":
        raise _Wrong('"messages" must end with a turn of the assistant after at least one other')
    return _asked(row, turns[:-1], turns[-1]["content"])


def _asked(row: Row, prompt: list[dict[str, str]], answer: str) -> Row:
    members = {name: value for name, value in row.items() if name not in ("prompt", "messages", "answer")}
    taken = next((name for name in _GIVEN if name in members), None)
    if taken is not None:
        raise _Wrong(f'"{taken}" is the name of something else that rewards are called with; give the member another')
    # As text: values of any kind come through the libraries as they are. What no JSON has, such as a time of Parquet's, becomes a text.
    return {"prompt": prompt, "answer": answer, "members": json.dumps(members, default=str)}


_CHAT = (
    Format("chatml", ("messages",), '{"messages": [{"role": "user", "content": "..."}, ...]}', _messages),
    Format("sharegpt", ("conversations",), '{"conversations": [{"from": "human", "value": "..."}, ...]}', _sharegpt),
    Format("alpaca", ("instruction", "output"), '{"instruction": "...", "input": "...", "output": "..."}', _alpaca),
    Format(
        "openorca",
        ("question", "response"),
        '{"system_prompt": "...", "question": "...", "response": "..."}',
        _openorca,
    ),
    Format("prompt-completion", ("prompt", "completion"), '{"prompt": "...", "completion": "..."}', _completion),
)
_TEXT = (Format("text", ("text",), '{"text": "..."}', _plain),)
_PAIRS = (
    Format(
        "preference", ("prompt", "chosen", "rejected"), '{"prompt": "...", "chosen": "...", "rejected": "..."}', _pair
    ),
    Format(
        "preference", ("chosen", "rejected"), '{"chosen": [messages], "rejected": [messages]}', _pair_without_prompt
    ),
)

_PROMPTS = (
    Format("prompt", ("prompt",), '{"prompt": "...", "answer": "..."}', _prompt),
    Format("chatml", ("messages",), '{"messages": [{"role": "user", "content": "..."}, ...]}', _last_turn),
)

BY_METHOD: dict[str, tuple[Format, ...]] = {
    "RLHF": _PROMPTS,
    "SFT": _CHAT + _TEXT,
    "CPT": _TEXT,
    "DPO": _PAIRS,
    "ORPO": _PAIRS,
}


def convert(rows: list[Row], method: str, source: str) -> tuple[Format, list[Row]]:
    """Recognises the format by the first row and converts all rows.

    Raises:
        TrainingError: exit code 3, with the first row that does not fit and what was expected.
    """
    found = recognised(rows[0], method, source)
    made = [converted(found, row, f"{source} row {number}", method) for number, row in enumerate(rows, 1)]
    if method == "RLHF":
        # A function that asks for a member gets it with each row, null where the row has none.
        names = dict.fromkeys(name for row in made for name in json.loads(row["members"]))
        made = [{**row, "members": json.dumps(dict.fromkeys(names) | json.loads(row["members"]))} for row in made]
    return found, made


def recognised(first: Row, method: str, source: str) -> Format:
    """The format of a file by its first row; raises TrainingError with exit code 3 when the method has none that fits."""
    known = BY_METHOD[method]
    found = next((each for each in known if all(name in first for name in each.members)), None)
    if found is None:
        wanted = " or ".join(each.expected for each in known)
        raise bad_data(
            f"{source} row 1 has the members {', '.join(first) or 'none'}, which {method} cannot train on; write rows as {wanted}"
        )
    return found


def converted(found: Format, row: Row, where: str, method: str) -> Row:
    """A row in the form that the method trains on; raises TrainingError with exit code 3 when it does not fit."""
    missing = next((name for name in found.members if row.get(name) is None), None)
    if missing is not None:
        raise bad_data(f'{where} has no "{missing}", as {found.name} rows need it; expected {found.expected}')
    try:
        if "text" not in found.members:
            _refuse_more(row, "", _OF_ROWS)
        made = found.convert(row)
        if "messages" in made and not any(turn["role"] == "assistant" for turn in made["messages"]):
            raise _Wrong(f"has no turn of the assistant, so {method} has nothing to learn from it")
    except _Wrong as error:
        raise bad_data(f"{where}: {error}; expected {found.expected}") from error
    return made


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Wrong(f"{what} must be a text that is not empty, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:_MOST_SHOWN]

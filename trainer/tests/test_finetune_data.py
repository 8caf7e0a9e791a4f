"""Data for language models: what can be read, what is recognised, and what is refused with which words."""

import gzip
import json
from typing import Any

import pytest

from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune.formats import convert
from trainingjob.finetune.rows import Row, read_rows
from trainingjob.finetune.split import split_rows

ROWS = [{"text": "ein Satz, mit Komma"}, {"text": 'zwei\nZeilen "hier"'}]
CSV = 'text\n"ein Satz, mit Komma"\n"zwei\nZeilen ""hier"""\n'


def parquet(path):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)


WRITERS = {
    "rows.json": lambda path: path.write_text("\n " + json.dumps(ROWS)),
    "rows.jsonl": lambda path: path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n"),
    "rows.jsonl.gz": lambda path: path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in ROWS).encode())),
    "lines.gz": lambda path: path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in ROWS).encode())),
    "bom.jsonl": lambda path: path.write_bytes("\n".join(json.dumps(row) for row in ROWS).encode("utf-8-sig")),
    "rows.csv": lambda path: path.write_text(CSV),
    "rows.csv.gz": lambda path: path.write_bytes(gzip.compress(CSV.encode())),
    "rows.parquet": parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_rows_of_every_kind_of_file(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    assert read_rows(path, name) == ROWS
    assert read_rows(path, name, most=1) == ROWS[:1]


WRONG_FILES = [
    ("a.jsonl", b"", "a.jsonl has no rows; add some"),
    ("a.json", b"[]", "a.json has no rows; add some"),
    ("a.jsonl", b'{"text": "a"}\n{"text": ', "a.jsonl line 2 is not JSON:"),
    ("a.jsonl", b'{"text": "a"}\n[1]\n', "a.jsonl line 2 is list; each row must be an object"),
    ("a.jsonl", b'{"text": "a", "loss": NaN}\n', "a.jsonl line 1 is not JSON: NaN is no JSON; write null"),
    ("a.jsonl", b'{"text": "\xff"}\n', "a.jsonl cannot be read: 'utf-8' codec"),
    ("a.json", b'[{"text": "a"}, 3]', "a.json row 2 is int; each row must be an object"),
    ("a.json", b'[{"text": "a"}', "a.json is not JSON:"),
    ("a.csv", b"text,more\na\n", "a.csv line 2 has another number of cells than the header"),
    ("a.csv", b"text,more\na,b,c\n", "a.csv line 2 has another number of cells than the header"),
    ("a.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 50)[:-20], "a.jsonl.gz cannot be read:"),
    ("a.parquet", b"PAR1 and nothing else", "a.parquet cannot be read as Parquet:"),
]


@pytest.mark.parametrize(("name", "content", "sentence"), WRONG_FILES, ids=[each[2][:50] for each in WRONG_FILES])
def test_file_that_cannot_be_read(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingError) as caught:
        read_rows(tmp_path / name, name)
    assert caught.value.code == ExitCode.DATA
    assert sentence in str(caught.value)


def talk(*turns):
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


USER, ASSISTANT = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
KNOWN = [
    ("SFT", talk(("user", "q"), ("assistant", "a")), "chatml", talk(("user", "q"), ("assistant", "a"))),
    (
        "SFT",
        {
            "conversations": [
                {"from": "system", "value": "s"},
                {"from": "human", "value": "q"},
                {"from": "gpt", "value": "a"},
            ]
        },
        "sharegpt",
        talk(("system", "s"), ("user", "q"), ("assistant", "a")),
    ),
    ("SFT", {"instruction": "q", "input": "", "output": "a"}, "alpaca", talk(("user", "q"), ("assistant", "a"))),
    ("SFT", {"instruction": "q", "input": "i", "output": "a"}, "alpaca", talk(("user", "q\n\ni"), ("assistant", "a"))),
    (
        "SFT",
        {"system_prompt": "s", "question": "q", "response": "a"},
        "openorca",
        talk(("system", "s"), ("user", "q"), ("assistant", "a")),
    ),
    ("SFT", {"prompt": "q", "completion": "a"}, "prompt-completion", talk(("user", "q"), ("assistant", "a"))),
    ("SFT", {"text": "t", "id": 3}, "text", {"text": "t"}),
    ("CPT", {"text": "t"}, "text", {"text": "t"}),
    (
        "DPO",
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        "preference",
        {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [{"role": "assistant", "content": "b"}]},
    ),
    (
        "ORPO",
        {"chosen": [USER, ASSISTANT], "rejected": [USER, {"role": "assistant", "content": "b"}]},
        "preference",
        {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [{"role": "assistant", "content": "b"}]},
    ),
]


@pytest.mark.parametrize(("method", "row", "name", "wanted"), KNOWN, ids=[f"{each[0]}-{each[2]}" for each in KNOWN])
def test_format_is_recognised_and_converted(method, row, name, wanted):
    found, rows = convert([row], method, "f")
    assert (found.name, rows) == (name, [wanted])


GOOD = talk(("user", "q"), ("assistant", "a"))
WRONG_ROWS = [
    ("SFT", [{"foo": 1}], 'f row 1 has the members foo, which SFT cannot train on; write rows as {"messages":'),
    ("DPO", [GOOD], 'which DPO cannot train on; write rows as {"prompt": "...", "chosen": "...", "rejected": "..."}'),
    ("CPT", [GOOD], 'which CPT cannot train on; write rows as {"text": "..."}'),
    (
        "SFT",
        [GOOD, talk(("bot", "x"))],
        "f row 2: messages[0].role must be one of system, user, assistant, tool, not 'bot'",
    ),
    ("SFT", [GOOD, talk(("user", "x"))], "f row 2: has no turn of the assistant"),
    ("SFT", [GOOD, talk(("assistant", ""))], "f row 2: messages[0].content must be a text that is not empty, not ''"),
    ("SFT", [GOOD, {"messages": []}], 'f row 2: "messages" must be a list of at least one message'),
    ("SFT", [GOOD, {"messages": None}], 'f row 2 has no "messages", as chatml rows need it'),
    ("SFT", [GOOD, {"text": "t"}], 'f row 2 has no "messages"'),
    ("SFT", [{"text": "t"}, {"text": float("nan")}], 'f row 2: "text" must be a text that is not empty, not nan'),
    (
        "SFT",
        [{"conversations": [{"from": "robot", "value": "x"}]}],
        "f row 1: conversations[0].from must be one of system, human, user, gpt, assistant, tool, not 'robot'",
    ),
    (
        "SFT",
        [GOOD, {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"function": {}}]}]}],
        "f row 2: messages[1].tool_calls: calls of tools are not trained on; write what is to be learned of them as content of a "
        "message, and leave tool_calls out",
    ),
    (
        "SFT",
        [GOOD, {"messages": [{**USER, "name": "Ann"}, ASSISTANT]}],
        "f row 2: messages[0].name: names are not trained",
    ),
    (
        "SFT",
        [{**GOOD, "tools": "[]"}, {**GOOD, "tools": '[{"type": "function"}]'}],
        "f row 2: tools: descriptions of tools are not trained on; write what",
    ),
    (
        "SFT",
        [{"conversations": [{"from": "gpt", "value": "x", "reasoning_content": "y"}]}],
        "f row 1: conversations[0].reasoning_content: thoughts are not trained on",
    ),
    (
        "DPO",
        [{"prompt": [USER], "chosen": [{**ASSISTANT, "tool_calls": [1]}], "rejected": [ASSISTANT]}],
        "f row 1: chosen[0].tool_calls: calls of tools are not trained on",
    ),
    (
        "RLHF",
        [{"prompt": "q", "completions": []}],
        'f row 1: "completions" is the name of something else that rewards are called with; give the member another',
    ),
    ("DPO", [{"prompt": "q", "chosen": "a", "rejected": "a"}], 'f row 1: "chosen" and "rejected" are the same'),
    ("DPO", [{"chosen": [USER], "rejected": [ASSISTANT]}], "must begin with the same messages and then part"),
]


@pytest.mark.parametrize(("method", "rows", "sentence"), WRONG_ROWS, ids=[each[2][:60] for each in WRONG_ROWS])
def test_first_row_that_does_not_fit_is_named(method, rows, sentence):
    with pytest.raises(TrainingError) as caught:
        convert([*rows, {"nothing": 1}], method, "f")
    assert caught.value.code == ExitCode.DATA
    assert sentence in str(caught.value)


def test_members_that_are_empty_are_none():
    """As tables have them, in which a few rows have a value."""
    empty: dict[str, Any] = {"tool_calls": None, "name": "", "reasoning_content": None}
    row = {"messages": [{**USER, **empty}, {**ASSISTANT, **empty}], "tools": None}
    assert convert([row], "SFT", "f")[1] == [{"messages": [USER, ASSISTANT]}]


def test_members_for_rewards_come_with_every_row_as_they_are():
    rows: list[Row] = [
        {"prompt": "q", "solution": 17, "text": "t"},
        {"prompt": "r", "solution": {"b": [1, "x"]}, "answer": "a"},
    ]
    _found, made = convert(rows, "RLHF", "f")
    assert [json.loads(row["members"]) for row in made] == [
        {"solution": 17, "text": "t"},
        {"solution": {"b": [1, "x"]}, "text": None},
    ]
    assert [row["answer"] for row in made] == ["", "a"]
    _found, made = convert([{"messages": [USER, ASSISTANT], "level": 3}], "RLHF", "f")
    assert made == [{"prompt": [USER], "answer": "a", "members": '{"level": 3}'}]


def test_split_is_the_seeds_and_complete():
    rows = [{"text": str(index)} for index in range(100)]
    split = split_rows(rows, 0.05, 7, "f")
    assert (len(split.train), len(split.held_out)) == (95, 5)
    assert sorted(split.train + split.held_out) == list(range(100))
    assert split == split_rows(rows, 0.05, 7, "f")
    assert split != split_rows(rows, 0.05, 8, "f")
    assert split.held_out != list(range(95, 100))


def test_rows_that_are_the_same_are_never_on_both_sides():
    rows = [{"text": str(index % 10)} for index in range(100)]
    split = split_rows(rows, 0.2, 1, "f")
    assert {rows[index]["text"] for index in split.train}.isdisjoint(rows[index]["text"] for index in split.held_out)


@pytest.mark.parametrize("rows", [[{"text": "a"}], [{"text": "a"}] * 20])
def test_nothing_left_to_train_on(rows):
    with pytest.raises(TrainingError, match=r"none is left to train on; add rows or lower") as caught:
        split_rows(rows, 0.1, 1, "f")
    assert caught.value.code == ExitCode.DATA


@pytest.mark.parametrize("method", ["SFT", "CPT", "DPO", "ORPO", "RLHF"])
def test_rows_of_the_demonstration_are_good(method):
    from trainingjob.finetune import demo

    _found, rows = convert(demo.ROWS[method](400), method, "f")
    assert len(rows) == 400

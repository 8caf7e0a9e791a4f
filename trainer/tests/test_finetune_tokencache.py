"""Tokens that are kept: made once of the same content, never taken for another, and no loss when they are damaged."""

import importlib.metadata
import os
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests import finetunejob  # noqa: F401
from tests.demojob import of_type, read_events
from trainingjob.finetune import demo, tokencache
from trainingjob.finetune.dataset import prepare
from trainingjob.finetune.parameters import parse_finetune
from trainingjob.finetune.tokencache import content_key
from trainingjob.finetune.tokens import Tokenized

REWARD = {"functions": [{"name": "JSON"}]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model")
    for method, rows in demo.ROWS.items():
        demo.write_rows(folder / f"{method}.jsonl", rows(30))
    return folder


@pytest.fixture
def tokenizer(made):
    return AutoTokenizer.from_pretrained(made / "model")


def config_of(made, method="SFT", **parameters):
    return parse_finetune(
        {
            "method": method,
            "model": {"source": (made / "model").as_uri()},
            "dataset": {"source": (made / f"{method}.jsonl").as_uri()},
            "parameters": {"maxLength": 128, **parameters},
            **({"reward": REWARD} if method == "RLHF" else {}),
        }
    )


class NoTokens(Exception):
    """Rows are turned into tokens once more."""


@pytest.mark.parametrize("method", demo.ROWS)
def test_second_attempt_makes_no_tokens_and_has_the_same(made, tokenizer, tmp_path, monkeypatch, method):
    config = config_of(made, method)
    first = prepare(config, tokenizer, cache=tmp_path / "cache")

    def again(*_, **__):
        raise NoTokens

    for name in ("tokenize", "pairs.measure", "prompts.measure"):
        monkeypatch.setattr(f"trainingjob.finetune.dataset.{name}", again)
    events = tmp_path / "events.jsonl"
    monkeypatch.setenv("TRAININGJOB_EVENTS", str(events))
    # Another job, with a tokenizer that it has loaded itself.
    second = prepare(config, AutoTokenizer.from_pretrained(made / "model"), cache=tmp_path / "cache")
    assert (second.train, second.held_out) == (first.train, first.held_out)
    assert second.event() == first.event()
    (told,) = [note for note in second.notes if "taken from the cache" in note]
    assert [note for note in second.notes if note != told] == list(first.notes)
    assert [event.get("detail") for event in of_type(read_events(events), "stage")][-1] == "30 rows are tokens already"
    with pytest.raises(NoTokens):
        prepare(config_of(made, method, maxLength=127), tokenizer, cache=tmp_path / "cache")


def test_key_is_of_everything_that_decides(made, tokenizer, monkeypatch):
    rows = [{"text": "one"}, {"text": "two"}]
    key = content_key(rows, tokenizer, most=8)
    assert content_key(list(rows), AutoTokenizer.from_pretrained(made / "model"), most=8) == key
    others = [content_key(rows[:1], tokenizer, most=8), content_key(rows, tokenizer, most=9)]
    templated = AutoTokenizer.from_pretrained(made / "model")
    templated.chat_template += " "
    others.append(content_key(rows, templated, most=8))
    larger = AutoTokenizer.from_pretrained(made / "model")
    larger.add_tokens(["more"])
    others.append(content_key(rows, larger, most=8))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"another {name}")
    others.append(content_key(rows, tokenizer, most=8))
    assert len({key, *others}) == 6


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_byte(path):
    content = bytearray(path.read_bytes())
    at = content.index(b"ids.npy") + 300
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [half, one_byte, lambda path: path.write_bytes(b"")], ids=["half", "byte", "empty"])
def test_damaged_file_is_thrown_away_and_made_again(made, tokenizer, tmp_path, damage):
    config = config_of(made)
    first = prepare(config, tokenizer, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    damage(file)
    second = prepare(config, tokenizer, cache=tmp_path)
    assert second.train == first.train
    assert [note for note in second.notes if "were damaged and are made again" in note]
    assert file.read_bytes() == whole


def test_folder_that_cannot_be_used_costs_only_time(made, tokenizer, tmp_path):
    (tmp_path / "file").write_text("no folder")
    prepared = prepare(config_of(made), tokenizer, cache=tmp_path / "file")
    assert [note for note in prepared.notes if "tokens were not kept" in note]
    assert prepared.train == prepare(config_of(made), tokenizer).train


def kept(folder: Path, name: str, at: float) -> None:
    rows = [{"text": name}]
    one = Tokenized([{"input_ids": [1] * 100, "labels": [1] * 100}], [0], [(100, 100)], 0)
    tokencache.tokens_by_content(folder, name, rows, lambda: one)
    os.utime(folder / f"{name}.npz", (at, at))


def test_what_was_not_used_for_longest_goes_first(tmp_path, monkeypatch):
    for at, name in enumerate(("oldest", "older", "old"), 1):
        kept(tmp_path, name, at)
    (tmp_path / "begun-.partial").write_bytes(b"")
    os.utime(tmp_path / "begun-.partial", (1, 1))
    # Taken again, so it is not the oldest any more.
    tokencache.tokens_by_content(tmp_path, "oldest", [{"text": "oldest"}], lambda: pytest.fail("it is there"))
    monkeypatch.setattr(tokencache, "_MOST_BYTES", 2 * (tmp_path / "old.npz").stat().st_size)
    kept(tmp_path, "new", 5)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["new", "oldest"]

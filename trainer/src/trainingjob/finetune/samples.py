"""Prompts of held-out rows that the model is asked at every evaluation."""

import random
from dataclasses import dataclass
from typing import Any

from trainingjob.finetune.rows import Row
from trainingjob.finetune.template import chat_template
from trainingjob.finetune.tokens import render


@dataclass(frozen=True)
class Sample:
    """A prompt as tokens and as text. `expected` is what the data answer, where they do; `number` is that of the row, from 1, and
    `row` what it was converted to."""

    number: int
    row: Row
    ids: tuple[int, ...]
    text: str
    expected: str | None


def choose(
    rows: list[tuple[int, Row]], tokenizer: Any, *, count: int, seed: int, most: int, continued: int
) -> list[Sample]:
    """Chooses rows by a seed, so that every attempt asks the same.

    Args:
        rows: Held-out rows by their numbers, as `formats.convert` gives them.
        tokenizer: The model's.
        count: How many are wanted. There are fewer where fewer rows have a prompt that fits.
        seed: Of the choice.
        most: Tokens that a prompt must stay below.
        continued: Tokens of a plain text that are expected after its first part.
    """
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    found: list[Sample] = []
    for number, row in shuffled:
        if len(found) == count:
            break
        sample = (
            _continuation(number, row, tokenizer, most, continued)
            if "text" in row
            else _question(number, row, tokenizer)
        )
        if sample is not None and 0 < len(sample.ids) < most:
            found.append(sample)
    return found


def _question(number: int, row: Row, tokenizer: Any) -> Sample | None:
    """The turns before the answer, as the model is asked when it is used."""
    asked, expected = _asked(row)
    if not asked:
        return None
    template = chat_template(tokenizer, masked=False)

    def rendered(**how: Any) -> Any:
        return render(asked, tokenizer, template, f"row {number}", add_generation_prompt=True, **how)

    ids = rendered(tokenize=True, return_dict=True)["input_ids"]
    return Sample(number, row, tuple(ids), rendered(tokenize=False), expected)


def _asked(row: Row) -> tuple[list[Row], str | None]:
    if "chosen" in row:
        return row["prompt"], "".join(str(turn["content"]) for turn in row["chosen"])
    if "prompt" in row:
        return row["prompt"], row["answer"] or None
    turns = row["messages"]
    last = max(index for index, turn in enumerate(turns) if turn["role"] == "assistant")
    return turns[:last], str(turns[last]["content"])


def _continuation(number: int, row: Row, tokenizer: Any, most: int, continued: int) -> Sample | None:
    """The first half of a text, or what of it leaves as much room again."""
    ids = list(tokenizer(row["text"])["input_ids"])
    if ids[-1:] == [tokenizer.eos_token_id]:
        ids.pop()
    half = min(len(ids) // 2, most // 2)
    expected = tokenizer.decode(ids[half : half + continued], skip_special_tokens=True)
    return Sample(number, row, tuple(ids[:half]), tokenizer.decode(ids[:half]), expected)

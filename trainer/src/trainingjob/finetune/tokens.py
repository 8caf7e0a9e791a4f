"""Rows as tokens, with the labels that say which of them are trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jinja2

from trainingjob.datafile import bad_data
from trainingjob.finetune.rows import Row
from trainingjob.finetune.template import chat_template

IGNORED = -100
TELL_EVERY = 1000


@dataclass(frozen=True)
class Tokenized:
    """Rows in their order, as the method's trainer takes them. `kept` are the rows' own indices, because a row in which
    nothing is left to train on is left out; `lengths` are their tokens and how many of those are trained on; `shortened` were
    longer than the most that was allowed."""

    rows: list[Row]
    kept: list[int]
    lengths: list[tuple[int, int]]
    shortened: int


def tokenize(
    rows: list[Row],
    tokenizer: Any,
    *,
    source: str,
    assistant_only: bool,
    most: int | None,
    tell: Callable[[int], None] = lambda _: None,
) -> Tokenized:
    """Turns converted rows into tokens.

    Args:
        rows: Of `messages` or of `text`.
        tokenizer: The model's.
        source: What the user calls the data.
        assistant_only: Whether only the assistant's turns of a conversation are trained on.
        most: Tokens of a row; what comes after is cut off. None: rows are packed later, which cuts nothing off.
        tell: Is told now and then how many rows are done.

    Raises:
        TrainingError: exit code 3, naming the row that cannot become text, or when nothing is left to train on.
    """
    template = training_template(tokenizer, rows[0], assistant_only=assistant_only)
    found: list[Row] = []
    kept: list[int] = []
    shortened = 0
    for index, row in enumerate(rows):
        if index % TELL_EVERY == 0:
            tell(index)
        where = f"{source} row {index + 1}"
        tokens, cut = tokens_of(row, tokenizer, template, assistant_only=assistant_only, most=most, where=where)
        shortened += cut
        if tokens is not None:
            found.append(tokens)
            kept.append(index)
    if not found:
        raise bad_data(
            f"{source}: no row has anything to train on within {most} tokens; raise trainer.fineTune.parameters.maxLength"
        )
    lengths = [(len(row["labels"]), sum(label != IGNORED for label in row["labels"])) for row in found]
    return Tokenized(rows=found, kept=kept, lengths=lengths, shortened=shortened)


def training_template(tokenizer: Any, row: Row, *, assistant_only: bool) -> str:
    """The chat template for rows like this one, empty where they are texts; raises TrainingError with exit code 2 as `chat_template`."""
    return chat_template(tokenizer, masked=assistant_only) if "messages" in row else ""


def tokens_of(
    row: Row, tokenizer: Any, template: str, *, assistant_only: bool, most: int | None, where: str
) -> tuple[Row | None, bool]:
    """The tokens of one row with their labels, None where nothing in them is trained on; and whether the row was cut."""
    talk = "messages" in row
    ids, labels = _talk(row, tokenizer, template, assistant_only, where) if talk else _text(row, tokenizer)
    cut = most is not None and len(ids) > most
    if cut:
        ids, labels = ids[:most], labels[:most]
    # The first token is never predicted.
    if all(label == IGNORED for label in labels[1:]):
        return None, cut
    return {"input_ids": ids, "labels": labels}, cut


def render(messages: list[Row], tokenizer: Any, template: str, where: str, **how: Any) -> Any:
    """Applies the template; what it refuses is the row's fault. Raises TrainingError with exit code 3."""
    try:
        return tokenizer.apply_chat_template(messages, chat_template=template, **how)
    except jinja2.TemplateError as error:
        raise bad_data(f"{where}: the model's chat template refuses these roles: {error}") from error


def _talk(row: Row, tokenizer: Any, template: str, assistant_only: bool, where: str) -> tuple[list[int], list[int]]:
    done = render(
        row["messages"],
        tokenizer,
        template,
        where,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=assistant_only,
    )
    ids = list(done["input_ids"])
    if not assistant_only:
        return ids, list(ids)
    return ids, [token if mask else IGNORED for token, mask in zip(ids, done["assistant_masks"], strict=True)]


def _text(row: Row, tokenizer: Any) -> tuple[list[int], list[int]]:
    ids = list(tokenizer(row["text"])["input_ids"])
    if tokenizer.eos_token_id is not None and ids[-1:] != [tokenizer.eos_token_id]:
        ids.append(tokenizer.eos_token_id)
    return ids, list(ids)

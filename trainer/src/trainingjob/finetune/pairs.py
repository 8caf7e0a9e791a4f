"""Preference pairs: which of them fit, and how many tokens they are. TRL turns them into tokens itself."""

from collections.abc import Callable
from typing import Any

from trainingjob.datafile import bad_data
from trainingjob.finetune.rows import Row
from trainingjob.finetune.template import chat_template
from trainingjob.finetune.tokens import TELL_EVERY, Tokenized, render


def measure(
    rows: list[Row], tokenizer: Any, *, source: str, most: int, tell: Callable[[int], None] = lambda _: None
) -> Tokenized:
    """Keeps the pairs whose prompt leaves room for an answer within `most` tokens.

    Raises:
        TrainingError: exit code 3, naming the row that cannot become text, or when no pair fits.
    """
    template = chat_template(tokenizer, masked=False)
    found: list[Row] = []
    kept: list[int] = []
    lengths: list[tuple[int, int]] = []
    shortened = 0
    for index, row in enumerate(rows):
        if index % TELL_EVERY == 0:
            tell(index)
        where = f"{source} row {index + 1}"

        def length(messages: list[Row], where: str = where, **how: Any) -> int:
            return len(
                render(messages, tokenizer, template, where, tokenize=True, return_dict=True, **how)["input_ids"]
            )

        prompt = length(row["prompt"], add_generation_prompt=True)
        whole = [length(row["prompt"] + row[side]) for side in ("chosen", "rejected")]
        if prompt >= most:
            continue
        shortened += any(side > most for side in whole)
        found.append(row)
        kept.append(index)
        within = sum(min(side, most) for side in whole)
        lengths.append((within, within - 2 * prompt))
    if not found:
        raise bad_data(
            f"{source}: no prompt leaves room for an answer within {most} tokens; raise trainer.fineTune.parameters.maxLength"
        )
    return Tokenized(rows=found, kept=kept, lengths=lengths, shortened=shortened)

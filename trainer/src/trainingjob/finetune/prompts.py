"""Prompts that a model is to answer by itself: which of them are short enough."""

from collections.abc import Callable
from typing import Any

from trainingjob.datafile import bad_data
from trainingjob.finetune.rows import Row
from trainingjob.finetune.template import chat_template
from trainingjob.finetune.tokens import TELL_EVERY, Tokenized, render


def measure(
    rows: list[Row], tokenizer: Any, *, source: str, most: int, tell: Callable[[int], None] = lambda _: None
) -> Tokenized:
    """Keeps the prompts of at most `most` tokens: one that is cut asks something else.

    Raises:
        TrainingError: exit code 3, naming the row that cannot become text, or when no prompt is short enough.
    """
    template = chat_template(tokenizer, masked=False)
    kept: list[int] = []
    lengths: list[tuple[int, int]] = []
    for index, row in enumerate(rows):
        if index % TELL_EVERY == 0:
            tell(index)
        how = {"tokenize": True, "return_dict": True, "add_generation_prompt": True}
        where = f"{source} row {index + 1}"
        length = len(render(row["prompt"], tokenizer, template, where, **how)["input_ids"])
        if length <= most:
            kept.append(index)
            lengths.append((length, 0))
    if not kept:
        raise bad_data(f"{source}: no prompt has at most {most} tokens; raise trainer.fineTune.parameters.maxLength")
    return Tokenized(rows=[rows[index] for index in kept], kept=kept, lengths=lengths, shortened=0)

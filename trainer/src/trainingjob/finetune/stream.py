"""Rows that are read as they come, for data that no memory holds: shuffled through a buffer, with a part held out by what rows are."""

import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Features, IterableDataset, List, Value

from trainingjob.datafile import bad_data
from trainingjob.finetune.formats import converted, recognised
from trainingjob.finetune.lead import Lead
from trainingjob.finetune.rows import Row, rows_of
from trainingjob.finetune.tokens import tokens_of, training_template
from trainingjob.stages import Seldom

# Evaluations of more would take longer than they tell.
_MOST_HELD_OUT = 1000
_TOKENS = Features({"input_ids": List(Value("int64")), "labels": List(Value("int64"))})


@dataclass(frozen=True)
class Stream:
    """Where rows to train on come from, and what they become. It holds none of them, and what comes out of it is the same each time.

    `buffer`: rows from which the next one is drawn. `most_rows`: taken from the beginning, None for all. `most_tokens`: of a row; a text that
    is `packed` later is not cut. `lead` is to be a callback of the trainer.
    """

    path: Path
    source: str
    method: str
    eval_split: float
    seed: int
    buffer: int
    most_rows: int | None
    most_tokens: int
    packed: bool
    assistant_only: bool
    lead: Lead = field(default_factory=Lead, compare=False)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Rows by their numbers, from 1, once through. Raises TrainingError with exit code 3 for one that does not fit."""
        found = None
        rows = itertools.islice(rows_of(self.path, self.source, whole=False), self.most_rows)
        try:
            for number, row in enumerate(rows, 1):
                found = found or recognised(row, self.method, self.source)
                yield number, converted(found, row, f"{self.source} row {number}", self.method)
        except OSError as error:
            raise bad_data(f"{self.source} cannot be read: {error}") from error

    def holds_out(self, row: Row) -> bool:
        """Whether a row is for evaluations; equal rows are on the same side."""
        words = json.dumps(row, sort_keys=True)
        drawn = hashlib.sha256(f"{self.seed} {words}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(drawn[:8]) < self.eval_split * 2**64

    def held_out(self) -> list[tuple[int, Row]]:
        """The first rows that are held out, by their numbers; what comes after them is read when it is trained on.

        Raises:
            TrainingError: exit code 3, when there is none, or nothing else.
        """
        found: list[tuple[int, Row]] = []
        others = False
        reading = Seldom("Tokenizing")
        for number, row in self.rows():
            reading.tell(f"{len(found)} of {number} rows are held out")
            if not self.holds_out(row):
                others = True
            elif len(found) < _MOST_HELD_OUT:
                found.append((number, row))
            if others and len(found) == _MOST_HELD_OUT:
                break
        if not found or not others:
            what = "no row is held out; raise" if not found else "every row is held out; lower"
            raise bad_data(f"{self.source}: {what} trainer.fineTune.dataset.evalSplit, or add rows")
        return found

    def dataset(self, tokenizer: Any) -> IterableDataset:
        """Tokens of rows to train on, pass after pass without an end, each in an order of its own."""
        given = {"stream": self, "tokenizer": tokenizer}
        return IterableDataset.from_generator(_passes, features=_TOKENS, gen_kwargs=given)


def _passes(stream: Stream, tokenizer: Any) -> Iterator[Row]:
    template = ""
    for number in itertools.count():
        some = False
        training = (entry for entry in stream.lead.told(stream.rows()) if not stream.holds_out(entry[1]))
        for at, row in _shuffled(training, stream.buffer, random.Random(f"{stream.seed} {number}")):
            if "messages" in row and not template:
                template = training_template(tokenizer, row, assistant_only=stream.assistant_only)
            tokens, _cut = tokens_of(
                row,
                tokenizer,
                template,
                assistant_only=stream.assistant_only,
                most=None if stream.packed and "text" in row else stream.most_tokens,
                where=f"{stream.source} row {at}",
            )
            if tokens is not None:
                some = True
                yield tokens
        if not some:
            raise bad_data(
                f"{stream.source}: no row has anything to train on within {stream.most_tokens} tokens; raise "
                "trainer.fineTune.parameters.maxLength"
            )


def _shuffled(entries: Iterator[Any], size: int, chance: random.Random) -> Iterator[Any]:
    held: list[Any] = []
    for entry in entries:
        if len(held) < size:
            held.append(entry)
            continue
        drawn = chance.randrange(size)
        yield held[drawn]
        held[drawn] = entry
    chance.shuffle(held)
    yield from held

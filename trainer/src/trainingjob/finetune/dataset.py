"""The data of a run: read, recognised, turned into tokens and split."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainingjob import reporting
from trainingjob.datafile import DataFile, bad_data, data_file
from trainingjob.exitcodes import naming
from trainingjob.fields import invalid
from trainingjob.finetune import pairs, prompts
from trainingjob.finetune.formats import Format, convert
from trainingjob.finetune.parameters import DatasetSource, FineTuneConfig
from trainingjob.finetune.rows import Row, read_rows
from trainingjob.finetune.split import split_rows
from trainingjob.finetune.stream import Stream
from trainingjob.finetune.tokencache import content_key, tokens_by_content
from trainingjob.finetune.tokens import Tokenized, tokenize
from trainingjob.stages import enter


@dataclass(frozen=True)
class Prepared:
    """Rows to train on and rows that are held out, as the method's trainer takes them; `sha256` is the file's, `revision` its commit
    where it came from the Hub.

    `held_out_rows` are the held-out rows as they were before they became tokens, by their numbers in the file, from 1.
    `tokens` and `trained_tokens` are those of the rows to train on, once through; what a model answers by itself is not known, nor is what is
    read as it comes.
    """

    train: list[Row] | Stream
    held_out: list[Row]
    held_out_rows: list[tuple[int, Row]]
    sha256: str
    revision: str | None
    tokens: int | None
    trained_tokens: int | None
    notes: tuple[str, ...]

    def event(self) -> dict[str, Any]:
        """What is known of the data, as it is reported."""
        train = None if isinstance(self.train, Stream) else len(self.train)
        known = {
            "samples": None if train is None else train + len(self.held_out),
            "trainSamples": train,
            "evalSamples": len(self.held_out),
            "tokens": self.tokens,
            "trainedTokens": self.trained_tokens,
            "sha256": self.sha256,
            "revision": self.revision,
        }
        return {name: value for name, value in known.items() if value is not None}


def prepare(config: FineTuneConfig, tokenizer: Any, processes: int = 1, cache: Path | None = None) -> Prepared:
    """Reads the data and reports what they are, before the first step. `cache`: where tokens are kept for whoever needs the same.

    Raises:
        TrainingError: exit code 3, naming the row that is wrong and what was expected; exit code 6 when storage does not answer.
    """
    source, parameters = config.dataset.source, config.parameters
    with naming(config.dataset.file.named_by):
        found, rows, file = _read(config.dataset, config.method)
        enter("Tokenizing", source)
        if config.method == "RLHF":
            _check_answers(config, rows)
        done, told = _tokens_kept(
            config, rows, tokenizer, cache, packed=bool(parameters.packing) and found.name == "text"
        )
        # What rewards get besides, such as a number of the row, makes no other prompt.
        compared = [{name: value for name, value in rows[index].items() if name != "members"} for index in done.kept]
        split = split_rows(compared, config.dataset.eval_split, config.dataset.seed, source)
    train, held_out = ([done.rows[index] for index in part] for part in (split.train, split.held_out))
    at_once = parameters.per_device_train_batch_size * processes
    if at_once > len(train):
        each = "" if processes == 1 else f" in each of {processes} processes"
        raise invalid(
            f"trainer.fineTune.parameters.perDeviceTrainBatchSize: {parameters.per_device_train_batch_size}{each} is more than the "
            f"{len(train)} rows to train on; write at most {len(train) // processes}"
        )
    tokens, trained = (sum(done.lengths[index][which] for index in split.train) for which in (0, 1))
    notes = [f"format {found.name}: {len(train)} rows to train on, {len(held_out)} held out", *told]
    answered = config.method == "RLHF"
    if not answered:
        notes.append(f"{trained} of {tokens} tokens are trained on, {trained / tokens:.1%}")
    if done.shortened:
        notes.append(f"{done.shortened} rows were longer than {parameters.max_length} tokens and were cut there")
    if len(rows) > len(done.kept):
        notes.append(f"{len(rows) - len(done.kept)} rows were left out, because nothing in them is trained on")
    texts = [(done.kept[index] + 1, rows[done.kept[index]]) for index in split.held_out]
    prepared = Prepared(
        train, held_out, texts, file.sha256, file.revision, tokens, None if answered else trained, tuple(notes)
    )
    reporting.emit({"type": "dataset", **prepared.event()})
    return prepared


def prepare_stream(config: FineTuneConfig, tokenizer: Any, file: DataFile) -> Prepared:
    """Reads rows to hold out, and no more of the file than they take; reports what is known of the data.

    Raises:
        TrainingError: exit code 3, as `prepare`; what is wrong further on is found when it is trained on.
    """
    dataset, parameters = config.dataset, config.parameters
    stream = Stream(
        path=file.path,
        source=dataset.source,
        method=config.method,
        eval_split=dataset.eval_split,
        seed=dataset.seed,
        buffer=dataset.shuffle_buffer_size or 1,
        most_rows=dataset.max_samples,
        most_tokens=parameters.max_length,
        packed=bool(parameters.packing),
        assistant_only=bool(parameters.assistant_only_loss),
    )
    enter("Tokenizing", dataset.source)
    with naming(dataset.file.named_by):
        held = stream.held_out()
        done = tokenize(
            [row for _, row in held],
            tokenizer,
            source=f"{dataset.source}, rows that are held out:",
            assistant_only=stream.assistant_only,
            most=parameters.max_length,
        )
    texts = [held[index] for index in done.kept]
    notes = (
        f"rows are read as they come, through a buffer of {stream.buffer}; the first {len(texts)} that are held out are evaluated",
    )
    prepared = Prepared(stream, done.rows, texts, file.sha256, file.revision, None, None, notes)
    reporting.emit({"type": "dataset", **prepared.event()})
    return prepared


def _tokens_kept(
    config: FineTuneConfig, rows: list[Row], tokenizer: Any, cache: Path | None, *, packed: bool
) -> tuple[Tokenized, list[str]]:
    parameters = config.parameters
    how = {
        "method": config.method,
        "most": parameters.max_length,
        "packed": packed,
        "assistantOnly": parameters.assistant_only_loss,
    }
    key = "" if cache is None else content_key(rows, tokenizer, **how)
    return tokens_by_content(cache, key, rows, lambda: _tokens(config, rows, tokenizer, packed=packed))


def _tokens(config: FineTuneConfig, rows: list[Row], tokenizer: Any, *, packed: bool) -> Tokenized:
    source, parameters = config.dataset.source, config.parameters

    def tell(row: int) -> None:
        enter("Tokenizing", f"{row} of {len(rows)} rows")

    if config.method == "RLHF":
        return prompts.measure(rows, tokenizer, source=source, most=parameters.max_length, tell=tell)
    if "chosen" in rows[0]:
        return pairs.measure(rows, tokenizer, source=source, most=parameters.max_length, tell=tell)
    return tokenize(
        rows,
        tokenizer,
        source=source,
        assistant_only=bool(parameters.assistant_only_loss),
        # Packing cuts nothing off: what is too long for one sequence goes on in the next.
        most=None if packed else parameters.max_length,
        tell=tell,
    )


def _check_answers(config: FineTuneConfig, rows: list[Row]) -> None:
    wanted = config.reward is not None and any(each.name == "ExactMatch" for each in config.reward.functions)
    missing = next((index for index, row in enumerate(rows, 1) if row["answer"] == ""), None)
    if wanted and missing is not None:
        raise bad_data(
            f'{config.dataset.source} row {missing} has no "answer", which the reward ExactMatch compares with'
        )


def _read(dataset: DatasetSource, method: str) -> tuple[Format, list[Row], DataFile]:
    """The rows of a file as the method takes them, and what file it was."""
    with data_file(dataset.file) as file:
        rows = read_rows(file.path, dataset.source, dataset.max_samples)
    return (*convert(rows, method, dataset.source), file)

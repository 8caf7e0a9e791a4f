"""Rows as tokens, kept for the next attempt and for other jobs on the same volume: what is made of the same content in the same way."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from trainingjob.finetune.rows import Row
from trainingjob.finetune.tokens import Tokenized
from trainingjob.stages import enter

# Goes up with every change of what rows become, and of how that is written here.
_FORM = 1
_LIBRARIES = ("jinja2", "tokenizers", "transformers", "trl")
_MOST_BYTES = 20_000_000_000
_ABANDONED_SECONDS = 3600.0


def content_key(rows: list[Row], tokenizer: Any, **how: Any) -> str:
    """The SHA-256 of all that decides what tokens rows become: the rows themselves, every file of the tokenizer with its chat template,
    `how`, and the versions of the libraries."""
    digest = hashlib.sha256()
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    digest.update(json.dumps([_FORM, versions, how], sort_keys=True).encode())
    _add_tokenizer(digest, tokenizer)
    for row in rows:
        digest.update(json.dumps(row, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def tokens_by_content(
    folder: Path | None, key: str, rows: list[Row], make: Callable[[], Tokenized]
) -> tuple[Tokenized, list[str]]:
    """The tokens that lie in the folder under this key, else those that `make` makes, which are then kept there. A file that is damaged
    is removed; a folder that cannot be used costs the time that it would have saved, and nothing else.

    Args:
        folder: Where files are kept, the oldest of them no longer than they find room. None keeps nothing.
        key: Of `content_key`.
        rows: What is tokenised.
        make: Tokenises them.

    Returns:
        Them, and what is to be told.
    """
    if folder is None:
        return make(), []
    file, notes = folder / f"{key}.npz", []
    try:
        found = _read(file, rows)
        enter("Tokenizing", f"{len(rows)} rows are tokens already")
        return found, [
            f"tokens were made before of the same rows in the same way and were taken from the cache, {key[:12]}"
        ]
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        notes.append(f"tokens in the cache were damaged and are made again: {error}")
        with suppress(OSError):
            file.unlink()
    made = make()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _write(file, made, rows):
            _clean(folder)
        else:
            notes.append(f"tokens were not kept: the disk of {folder} has too little room")
    except OSError as error:
        notes.append(f"tokens were not kept: {folder} cannot be written: {error}")
    return made, notes


def _add_tokenizer(digest: Any, tokenizer: Any) -> None:
    with tempfile.TemporaryDirectory(prefix="tokenizer-") as name:
        tokenizer.save_pretrained(name)
        for path in sorted(Path(name).rglob("*.*")):
            content = path.read_bytes()
            if path.name == "tokenizer_config.json":
                # Where it was loaded from makes no other tokens.
                config = {name: value for name, value in json.loads(content).items() if name != "name_or_path"}
                content = json.dumps(config, sort_keys=True).encode()
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(content).digest())


def _read(file: Path, rows: list[Row]) -> Tokenized:
    with np.load(file, allow_pickle=False) as stored:
        kept, lengths = stored["kept"].tolist(), [(whole, trained) for whole, trained in stored["lengths"].tolist()]
        shortened = int(stored["shortened"])
        if "ids" not in stored:
            # Rows of texts that the library turns into tokens itself.
            return Tokenized([rows[index] for index in kept], kept, lengths, shortened)
        ids, labels = stored["ids"], stored["labels"]
    ends = np.cumsum([whole for whole, _ in lengths])
    if not len(kept) == len(lengths) == len(ends) or not len(ids) == len(labels) == ends[-1] or max(kept) >= len(rows):
        raise ValueError("its parts do not fit together")
    found = [
        {"input_ids": ids[end - whole : end].tolist(), "labels": labels[end - whole : end].tolist()}
        for end, (whole, _) in zip(ends.tolist(), lengths, strict=True)
    ]
    with suppress(OSError):
        os.utime(file)
    return Tokenized(found, kept, lengths, shortened)


def _write(file: Path, made: Tokenized, rows: list[Row]) -> bool:
    """Says whether there was room. A reader sees the whole file or none."""
    arrays: dict[str, Any] = {
        "kept": np.array(made.kept, dtype=np.int64),
        "lengths": np.array(made.lengths, dtype=np.int64),
        "shortened": np.array(made.shortened),
    }
    if made.rows[0] is not rows[made.kept[0]]:
        for name, member in (("ids", "input_ids"), ("labels", "labels")):
            tokens = (token for row in made.rows for token in row[member])
            arrays[name] = np.fromiter(tokens, dtype=np.int32, count=sum(whole for whole, _ in made.lengths))
    if shutil.disk_usage(file.parent).free < 2 * sum(array.nbytes for array in arrays.values()):
        return False
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f"{file.stem[:12]}-", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as opened:
            np.savez(opened, **arrays)
        Path(temporary).replace(file)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


def _clean(folder: Path) -> None:
    """Removes what was not used for longest beyond what may lie here, and what a process that is gone had begun."""
    left, now = 0, time.time()
    with_times = []
    for path in folder.iterdir():
        with suppress(OSError):
            with_times.append((path.stat().st_mtime, path.stat().st_size, path))
    for used, count, path in sorted(with_times, reverse=True):
        left += count
        abandoned = path.suffix == ".partial" and now - used > _ABANDONED_SECONDS
        if abandoned or (path.suffix == ".npz" and left > _MOST_BYTES):
            path.unlink(missing_ok=True)

"""A tiny model with its tokenizer, and data for it, made from text that ships with Python: nothing is downloaded.

python -m trainingjob.finetune.demo --out FOLDER --method SFT
"""

import argparse
import json
import re
import sys
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

_VOCABULARY = 512
_SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]

TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def sentences() -> list[str]:
    """Sentences of Python's own manual, in a fixed order."""
    found: list[str] = []
    for name in sorted(topics):
        text = " ".join(topics[name].split())
        found += [each for each in re.split(r"(?<=[.:]) ", text) if 40 <= len(each) <= 160 and each.isascii()]
    return list(dict.fromkeys(found))


def write_model(folder: Path, *, hidden: int = 64, layers: int = 2, seed: int = 0) -> None:
    """Writes an untrained model of two layers and its tokenizer, as save_pretrained does."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(sentences(), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token=_SPECIAL[0], eos_token=_SPECIAL[1])
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            # So wide that even a head that is not trained can tell tokens apart.
            initializer_range=0.2,
            tie_word_embeddings=True,
        )
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def conversations(count: int) -> list[dict[str, Any]]:
    """Two turns each: a sentence's beginning, which the assistant is to go on with."""
    rows: list[dict[str, Any]] = []
    known = sentences()
    for index in range(count):
        turns: list[dict[str, str]] = []
        for sentence in (known[(2 * index) % len(known)], known[(2 * index + 1) % len(known)]):
            words = sentence.split()
            half = len(words) // 2
            turns.append({"role": "user", "content": " ".join(words[:half])})
            turns.append({"role": "assistant", "content": " ".join(words[half:])})
        rows.append({"messages": turns})
    return rows


def texts(count: int) -> list[dict[str, Any]]:
    """Plain text, some sentences in each row."""
    known = sentences()
    return [{"text": " ".join(known[(3 * index + more) % len(known)] for more in range(3))} for index in range(count)]


def pairs(count: int) -> list[dict[str, Any]]:
    """A sentence's beginning, its end as the answer that is preferred, and the words of that end backwards as the other."""
    rows: list[dict[str, Any]] = []
    for sentence in sentences():
        words = sentence.split()
        asked, preferred = words[: len(words) // 2], words[len(words) // 2 :]
        if preferred != preferred[::-1]:
            rows.append(
                {"prompt": " ".join(asked), "chosen": " ".join(preferred), "rejected": " ".join(preferred[::-1])}
            )
    return rows[:count]


def prompts(count: int) -> list[dict[str, Any]]:
    """Beginnings of sentences, with their ends as answers."""
    return [{"prompt": row["prompt"], "answer": row["chosen"]} for row in pairs(count)]


ROWS = {"RLHF": prompts, "SFT": conversations, "CPT": texts, "DPO": pairs, "ORPO": pairs}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def main(arguments: list[str]) -> None:
    """Writes FOLDER/model and FOLDER/METHOD.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", choices=list(ROWS), default="SFT")
    parser.add_argument("--rows", type=int, default=400)
    options = parser.parse_args(arguments)
    write_model(options.out / "model")
    write_rows(options.out / f"{options.method.lower()}.jsonl", ROWS[options.method](options.rows))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Rewards of single answers, by the functions and the model that the training itself asks."""

import asyncio
import inspect
import math
from typing import Any

import torch

from trainingjob.finetune.rows import Row
from trainingjob.finetune.samples import Sample


def rewards(trainer: Any, samples: list[Sample], texts: list[str], ids: list[list[int]]) -> list[dict[str, float]]:
    """Reward of each answer: the whole, weighted, and what each function gave; nothing for a trainer without rewards. A function
    that has no verdict gives none."""
    functions = getattr(trainer, "reward_funcs", [])
    if not functions:
        return [{} for _ in samples]
    prompts = [sample.row["prompt"] for sample in samples]
    completions = [[{"role": "assistant", "content": text}] for text in texts]
    given: list[dict[str, float]] = [{} for _ in samples]
    totals = [math.nan] * len(samples)
    names, weights = trainer.reward_func_names, trainer.reward_weights.tolist()
    each = zip(functions, trainer.reward_processing_classes, names, weights, strict=True)
    for function, tokenizer, name, weight in each:
        values = (
            _judged(function, tokenizer, prompts, completions)
            if isinstance(function, torch.nn.Module)
            else _called(function, trainer, samples, prompts, completions, ids)
        )
        for index, value in enumerate(values):
            if value is not None and not math.isnan(value):
                given[index][f"reward/{name}"] = float(value)
                totals[index] = (0.0 if math.isnan(totals[index]) else totals[index]) + weight * float(value)
    return [
        parts if math.isnan(total) else {"reward": total, **parts} for parts, total in zip(given, totals, strict=True)
    ]


def _called(
    function: Any, trainer: Any, samples: list[Sample], prompts: list[Any], completions: list[Any], ids: list[list[int]]
) -> list[float | None]:
    """With what the library hands over; what it would log of them is left out."""
    columns: Row = {name: [sample.row[name] for sample in samples] for name in ("answer", "members")}
    found = function(
        prompts=prompts,
        completions=completions,
        completion_ids=ids,
        **columns,
        trainer_state=trainer.state,
        log_extra=lambda *_: None,
        log_metric=lambda *_: None,
    )
    return list(asyncio.run(found) if inspect.iscoroutine(found) else found)


def _judged(model: Any, tokenizer: Any, prompts: list[Any], completions: list[Any]) -> list[float | None]:
    texts = [
        tokenizer.apply_chat_template(prompt + completion, tokenize=False)
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    asked = tokenizer(text=texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
    with torch.no_grad():
        logits = model(**asked.to(model.device)).logits
    return [float(value) for value in logits[:, 0]]

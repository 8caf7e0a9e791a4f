"""Predictions: what the model answers at an evaluation, reported one by one and summed up as metrics of the evaluation."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from trainingjob import reporting
from trainingjob.finetune import memory
from trainingjob.finetune.answers import Judge, is_document, text_scores
from trainingjob.finetune.rewarded import rewards
from trainingjob.finetune.rows import Row
from trainingjob.finetune.samples import Sample, choose
from trainingjob.predictions import Predictions
from trainingjob.stages import enter

# What the operator takes of one text.
_MOST_TEXT = 4096


class Predictor:
    """Asks the run's samples. The training does not notice: weights, chance and the model's mode are as they were."""

    def __init__(
        self, settings: Predictions, held_out: list[tuple[int, Row]], trainer: Any, tokenizer: Any, max_length: int
    ) -> None:
        """`held_out` are rows by their numbers; `max_length` is that of the run's rows. Raises TrainingError with exit code 2 for
        a schema that cannot be used."""
        self._settings, self._trainer, self._tokenizer = settings, trainer, tokenizer
        self._judge = Judge(settings.json_schema)
        self._room = _context(trainer.model)
        self._samples = choose(
            held_out,
            tokenizer,
            count=settings.sample_count,
            seed=settings.seed,
            most=max_length if self._room is None else min(max_length, self._room),
            continued=settings.max_new_tokens,
        )
        wants_json = settings.json_schema is not None or any(is_document(each.expected) for each in self._samples)
        self._judges = [self._judge] if wants_json else []
        self._together = trainer.args.per_device_eval_batch_size

    def note(self) -> str:
        """What will be asked, for the run's notes."""
        wanted, found = self._settings.sample_count, len(self._samples)
        fewer = (
            "" if found == wanted else f", of {wanted} that are wanted: no other held-out row has a prompt that fits"
        )
        return f"predictions at each evaluation: {found} prompts, at most {self._settings.max_new_tokens} tokens each{fewer}"

    def predict(self, step: int, model: Any) -> dict[str, float]:
        """Answers all samples, reports each answer, and returns their means by the names of metrics."""
        found: list[dict[str, float]] = []
        with _undisturbed(model, self._settings.seed):
            while len(found) < len(self._samples):
                enter("Evaluating", f"predictions: {len(found)} of {len(self._samples)}")
                asked = self._samples[len(found) : len(found) + self._together]
                try:
                    answers = self._answers(model, asked)
                except torch.OutOfMemoryError:
                    if self._together == 1:
                        raise
                    self._together = max(1, self._together // 2)
                    memory.free()
                    continue
                found += self._reported(step, len(found), asked, answers)
        metrics = {f"predict/{name}": mean for name, mean in _means(found).items()}
        self._show(step, metrics)
        return metrics

    def _answers(self, model: Any, asked: list[Sample]) -> list[list[int]]:
        """Tokens of the answers, with the one that ends each."""
        longest = max(len(sample.ids) for sample in asked)
        pad, settings = self._tokenizer.pad_token_id, self._settings
        padding = [longest - len(sample.ids) for sample in asked]
        ids = [[pad] * missing + list(sample.ids) for missing, sample in zip(padding, asked, strict=True)]
        mask = [[0] * missing + [1] * len(sample.ids) for missing, sample in zip(padding, asked, strict=True)]
        room = settings.max_new_tokens if self._room is None else self._room - longest
        ends = _ends(model, self._tokenizer)
        heat = {"temperature": settings.temperature, "top_k": 0, "top_p": 1.0} if settings.temperature > 0 else {}
        how = GenerationConfig(
            max_new_tokens=min(settings.max_new_tokens, room),
            do_sample=settings.temperature > 0,
            use_cache=True,
            pad_token_id=pad,
            eos_token_id=ends,
            **heat,
        )
        computed = torch.bfloat16 if self._trainer.args.bf16 else torch.float16
        mixed = self._trainer.args.bf16 or self._trainer.args.fp16
        with torch.no_grad(), torch.autocast(model.device.type, dtype=computed, enabled=mixed):
            generated = model.generate(
                input_ids=torch.tensor(ids, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                generation_config=how,
            )
        return [_until(row[longest:].tolist(), ends) for row in generated]

    def _reported(self, step: int, first: int, asked: list[Sample], answers: list[list[int]]) -> list[dict[str, float]]:
        texts = [self._tokenizer.decode(ids, skip_special_tokens=True) for ids in answers]
        found = rewards(self._trainer, asked, texts, answers)
        ends = _ends(self._trainer.model, self._tokenizer)
        for index, (sample, ids, text, scores) in enumerate(zip(asked, answers, texts, found, strict=True), first):
            if sample.expected is not None:
                scores |= text_scores(sample.expected, text)
            problem = None
            for judge in self._judges:
                valid, problem = judge(text)
                scores |= valid
            event = {
                "type": "prediction",
                "step": step,
                "sample": index,
                "row": sample.number,
                # Its end is what the answer follows.
                "prompt": _cut(sample.text[::-1])[::-1],
                "expected": None if sample.expected is None else _cut(sample.expected),
                "generated": _cut(text),
                "promptTokens": len(sample.ids),
                "generatedTokens": len(ids),
                "finishReason": "stop" if ids and ids[-1] in ends else "length",
                "scores": reporting.encoded({name: value for name, value in scores.items() if _named(name)})["metrics"],
            }
            reporting.emit(event if problem is None else event | {"problem": problem})
        return found

    def _show(self, step: int, metrics: dict[str, float]) -> None:
        """To trackers, and in the log."""
        trainer = self._trainer
        logged = {f"eval_{name}": value for name, value in metrics.items()}
        # The library's own `log` would take what it has gathered of the training since its last report.
        trainer.callback_handler.on_log(trainer.args, trainer.state, trainer.control, logged)
        words = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        print(f"step {step}: {len(self._samples)} predictions: {words}", flush=True)  # noqa: T201


@contextmanager
def _undisturbed(model: Any, seed: int) -> Iterator[None]:
    """Answers are drawn from a chance of their own, and the training goes on with the one that it had."""
    training = model.training
    plain, numpy, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    model.eval()
    try:
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        yield
    finally:
        model.train(training)
        random.setstate(plain)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def _context(model: Any) -> int | None:
    """Tokens of prompt and answer together that the model has positions for, where it says so."""
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return most if isinstance(most, int) and most > 0 else None


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer."""
    known = model.generation_config.eos_token_id
    ends = [] if known is None else [known] if isinstance(known, int) else list(known)
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in ends:
        ends.append(tokenizer.eos_token_id)
    return ends


def _until(ids: list[int], ends: list[int]) -> list[int]:
    """Up to its end; what follows is padding."""
    last = next((index for index, token in enumerate(ids) if token in ends), len(ids) - 1)
    return ids[: last + 1]


def _means(scores: list[dict[str, float]]) -> dict[str, float]:
    """Of each score, over the answers that have it."""
    names = dict.fromkeys(name for each in scores for name in each if _named(f"predict/{name}"))
    values = {name: [each[name] for each in scores if name in each] for name in names}
    return {name: math.fsum(given) / len(given) for name, given in values.items()}


def _named(name: str) -> bool:
    return reporting.METRIC_NAME.fullmatch(name) is not None


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…"

"""From a checkpoint to a model that can be used: an adapter merged into its base, tried before anybody else sees it."""

import gc
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from trainingjob.exitcodes import ExitCode, TrainingError

_QUESTION = "Hello"
_ANSWER_TOKENS = 8


def merged(base: Path, adapter: Path, *, trust_remote_code: bool) -> Any:
    """The base, as it was before any quantisation, with the adapter's changes in its weights."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype="auto", trust_remote_code=trust_remote_code)
    return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()


def try_out(folder: Path, tokenizer: Any, *, trust_remote_code: bool) -> None:
    """Loads a model from a folder and asks it something.

    Raises:
        TrainingError: exit code 6, when it does not load, or answers with what is no number.
    """
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", trust_remote_code=trust_remote_code).eval()
        asked = tokenizer(_QUESTION, return_tensors="pt")
        with torch.inference_mode():
            finite = bool(torch.isfinite(model(input_ids=asked["input_ids"]).logits).all())
            model.generate(**asked, max_new_tokens=_ANSWER_TOKENS, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainingError(ExitCode.ARTIFACTS, f"the trained model does not load: {error}") from error
    if not finite:
        raise TrainingError(
            ExitCode.ARTIFACTS, "the trained model computes numbers that are not finite; it is not published"
        )
    del model
    gc.collect()

"""Loading a model and its tokenizer."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig

from trainingjob.fields import invalid
from trainingjob.finetune.parameters import FineTuneConfig, ModelSource
from trainingjob.storage.folder import local_path

_INT8_THRESHOLD = 6.0


def precision(model: ModelSource) -> torch.dtype:
    """The type to compute in: as the job says, else the best that the hardware has."""
    if model.dtype != "auto":
        chosen: torch.dtype = getattr(torch, model.dtype)
        if chosen != torch.float32 and not torch.cuda.is_available():
            raise invalid(f"trainer.fineTune.model.dtype: {model.dtype} needs a GPU; write float32 or auto")
        return chosen
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def load_tokenizer(folder: Path, model: ModelSource) -> Any:
    """The tokenizer in a folder, with a token to pad with and the job's chat template, if it has one.

    Raises:
        TrainingError: exit code 2, when there is none that can be used.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=model.trust_remote_code)
    except (OSError, ValueError) as error:
        raise _unusable(model, "tokenizer", error) from error
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise invalid("trainer.fineTune.model: its tokenizer has neither a pad nor an eos token; add one to it")
        tokenizer.pad_token = tokenizer.eos_token
    if model.chat_template is not None:
        tokenizer.chat_template = model.chat_template
    return tokenizer


def load_model(folder: Path, config: FineTuneConfig) -> Any:
    """The model in a folder, ready to be trained.

    Weights that are trained themselves are kept in single precision, whatever is computed in: small steps would vanish in
    less. Weights that only carry an adapter are kept as they are computed, or quantised.

    Raises:
        TrainingError: exit code 2, when there is none that can be used.
    """
    computed = precision(config.model)
    kept = torch.float32 if config.lora is None else computed
    options: dict[str, Any] = {"dtype": kept, "trust_remote_code": config.model.trust_remote_code}
    if config.quantization is not None:
        options["quantization_config"] = _quantised(config.quantization, computed)
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, **options)
    except (OSError, ValueError) as error:
        raise _unusable(config.model, "model", error) from error
    model.config.use_cache = False
    return model


def load_reward_model(source: str) -> Any:
    """A model that gives one number to a prompt with its answer.

    Raises:
        TrainingError: exit code 2, when there is none that can be used.
    """
    try:
        model, found = AutoModelForSequenceClassification.from_pretrained(
            local_path(source), num_labels=1, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise invalid(f"trainer.fineTune.reward.model.source: {source} cannot be loaded: {first[:500]}") from error
    if found["missing_keys"]:
        # A head of random numbers would reward at random.
        raise invalid(
            f"trainer.fineTune.reward.model.source: {source} is no reward model: it has no "
            f"{', '.join(sorted(found['missing_keys']))}; write one that was trained to judge answers"
        )
    if model.config.pad_token_id is None:
        model.config.pad_token_id = model.config.eos_token_id
    return model


def _quantised(how: str, computed: torch.dtype) -> BitsAndBytesConfig:
    if how == "Int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=_INT8_THRESHOLD)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computed,
    )


def _unusable(model: ModelSource, what: str, error: Exception) -> Exception:
    first = str(error).strip().splitlines()[0]
    return invalid(f"trainer.fineTune.model.source: the {what} of {model.source} cannot be loaded: {first[:500]}")

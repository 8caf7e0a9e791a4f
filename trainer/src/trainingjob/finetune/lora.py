"""Low-rank adapters: which modules of a model they sit on."""

from typing import Any

import torch
from peft import LoraConfig

from trainingjob.fields import invalid, nearest
from trainingjob.finetune.parameters import Lora

_LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# By `model_type` of the model's configuration.
TARGETS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"), _LLAMA),
    # Its experts are no linear modules.
    "mixtral": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "gpt2": ("c_attn", "c_proj", "c_fc"),
    "gpt_neox": ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
    "phi": ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
    "phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
}


def adapter(lora: Lora, model: Any) -> LoraConfig:
    """The adapter for a model, on the modules that the job names, else on those of the architecture.

    Raises:
        TrainingError: exit code 2, when a module is not in the model, or nobody knows the architecture's.
    """
    kind = str(model.config.model_type)
    targets = lora.target_modules or TARGETS.get(kind)
    there = linear_modules(model)
    if targets is None:
        raise invalid(
            f'trainer.fineTune.lora.targetModules: is needed for a model of type "{kind}"; it has {", ".join(there)}'
        )
    missing = next((name for name in targets if name not in there), None)
    if missing is not None:
        raise invalid(
            f'trainer.fineTune.lora.targetModules: the model has no linear module "{missing}".{nearest(missing, there)} '
            f"It has {', '.join(there)}"
        )
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(targets),
        bias="none",
        task_type="CAUSAL_LM",
    )


def linear_modules(model: Any) -> list[str]:
    """Last parts of the names of modules that an adapter can sit on; the head, which predicts tokens, is none of them."""
    head = model.get_output_embeddings()
    names = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if module is not head and (isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D")
    }
    return sorted(names)

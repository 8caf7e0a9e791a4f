"""The trainer of TRL for each method, with the job's parameters under the library's names."""

import math
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from trainingjob.finetune.lora import adapter
from trainingjob.finetune.model import precision
from trainingjob.finetune.parameters import FineTuneConfig, Parameters
from trainingjob.finetune.rows import Row


def total_steps(parameters: Parameters, samples: int, processes: int) -> int:
    """Optimizer's steps of a whole run, as the library counts them."""
    if parameters.max_steps is not None:
        return parameters.max_steps
    batches = math.ceil(samples / (parameters.per_device_train_batch_size * processes))
    return math.ceil(batches / parameters.gradient_accumulation_steps) * parameters.num_train_epochs


def warmup_steps(parameters: Parameters, total: int) -> int:
    """Steps in which the learning rate rises; never more than there are."""
    wanted = parameters.warmup_steps
    if wanted is None:
        wanted = math.ceil(parameters.warmup_ratio * total)
    return min(wanted, total)


def common_arguments(config: FineTuneConfig, folder: Path) -> dict[str, Any]:
    """What every method's configuration of TRL takes. When to evaluate, save and stop is not the library's to decide."""
    parameters, computed = config.parameters, precision(config.model)
    return {
        "output_dir": str(folder),
        "num_train_epochs": parameters.num_train_epochs,
        "max_steps": -1 if parameters.max_steps is None else parameters.max_steps,
        "learning_rate": parameters.learning_rate,
        "per_device_train_batch_size": parameters.per_device_train_batch_size,
        "per_device_eval_batch_size": parameters.per_device_eval_batch_size,
        "gradient_accumulation_steps": parameters.gradient_accumulation_steps,
        "max_length": parameters.max_length,
        "lr_scheduler_type": parameters.lr_scheduler_type,
        "weight_decay": parameters.weight_decay,
        "max_grad_norm": parameters.max_grad_norm,
        "optim": parameters.optim,
        "logging_steps": parameters.logging_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "gradient_checkpointing": parameters.gradient_checkpointing,
        "seed": parameters.seed,
        "bf16": computed == torch.bfloat16,
        "fp16": computed == torch.float16,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def make_trainer(
    config: FineTuneConfig, model: Any, tokenizer: Any, train: list[Row], held_out: list[Row], folder: Path
) -> Any:
    """The trainer of the job's method, with rows as `dataset.prepare` gives them for it."""
    disable_progress_bars()
    kind, arguments = _KINDS[config.method](common_arguments(config, folder), config.parameters)
    trainer = kind(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(train),
        eval_dataset=Dataset.from_list(held_out),
        processing_class=tokenizer,
        peft_config=None if config.lora is None else adapter(config.lora, model),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _language(common: dict[str, Any], parameters: Parameters) -> tuple[Any, Any]:
    packing = bool(parameters.packing)
    # Held-out rows are measured one by one, so that how they are packed does not change their loss. A text that is too long
    # for one sequence goes on in the next; nothing is cut off.
    return SFTTrainer, SFTConfig(**common, packing=packing, packing_strategy="bfd_split", eval_packing=False)


def _dpo(common: dict[str, Any], parameters: Parameters) -> tuple[Any, Any]:
    return DPOTrainer, DPOConfig(**common, beta=parameters.beta)


def _orpo(common: dict[str, Any], parameters: Parameters) -> tuple[Any, Any]:
    return ORPOTrainer, ORPOConfig(**common, beta=parameters.beta, remove_unused_columns=False)


_KINDS = {"SFT": _language, "CPT": _language, "DPO": _dpo, "ORPO": _orpo}

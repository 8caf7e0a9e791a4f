"""The trainer of TRL for each method, with the job's parameters under the library's names."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer, RLOOConfig, RLOOTrainer, SFTConfig, SFTTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from trainingjob.fields import invalid
from trainingjob.finetune.callbacks import make_callbacks
from trainingjob.finetune.lora import adapter
from trainingjob.finetune.model import load_reward_model, precision
from trainingjob.finetune.parameters import FineTuneConfig, Parameters
from trainingjob.finetune.ranks import Ranks
from trainingjob.finetune.reward import reward_functions
from trainingjob.finetune.rows import Row
from trainingjob.finetune.stream import Stream
from trainingjob.finetune.trackers import make_trackers

_PATIENCE_SECONDS = 24 * 3600
# Whole weights and the whole optimizer in each checkpoint, so that any number of processes goes on from it.
_SHARDED: dict[str, Any] = {
    "fsdp": True,
    "fsdp_config": {"version": 2, "state_dict_type": "FULL_STATE_DICT", "auto_wrap_policy": "TRANSFORMER_BASED_WRAP"},
}


def total_steps(trainer: Any) -> int:
    """Optimizer's steps of a whole run, as the library counts them."""
    *_, steps = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())
    return int(steps)


def warmup_steps(parameters: Parameters, total: int) -> int:
    """Steps in which the learning rate rises; never more than there are."""
    wanted = parameters.warmup_steps
    if wanted is None:
        wanted = math.ceil(parameters.warmup_ratio * total)
    return min(wanted, total)


def common_arguments(config: FineTuneConfig, folder: Path, *, together: bool = False) -> dict[str, Any]:
    """What every method's configuration of TRL takes. When to evaluate, save and stop is not the library's to decide.
    `together`: this process is one of those that torchrun started."""
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
        # Trackers are given to the trainer as callbacks.
        "report_to": "none",
        "disable_tqdm": True,
        # Ranks wait for the first one's uploads as long as these take; whether anything moves, the operator watches.
        "ddp_timeout": _PATIENCE_SECONDS,
        **(_SHARDED if together and config.distribution.strategy == "FSDP" else {}),
    }


@dataclass(frozen=True)
class _Kind:
    """A trainer of TRL, its arguments, and what else it takes."""

    trainer: Any
    arguments: Any
    more: dict[str, Any] = field(default_factory=dict)


def make_trainer(
    config: FineTuneConfig,
    model: Any,
    tokenizer: Any,
    train: list[Row] | Stream,
    held_out: list[Row],
    folder: Path,
    logs: Path,
    ranks: Ranks,
) -> Any:
    """The trainer of the job's method, with rows as `dataset.prepare` gives them for it. Files of trackers go to `logs`; of several
    processes the first alone has trackers."""
    disable_progress_bars()
    kind = _KINDS[config.method](common_arguments(config, folder, together=ranks.together), config)
    trackers = make_trackers(config.parameters.report_to, logs) if ranks.first else []
    trainer = kind.trainer(
        model=model,
        args=kind.arguments,
        train_dataset=train.dataset(tokenizer) if isinstance(train, Stream) else Dataset.from_list(train),
        eval_dataset=Dataset.from_list(held_out),
        processing_class=tokenizer,
        callbacks=[*trackers, *make_callbacks(config.callbacks)],
        peft_config=None if config.lora is None else adapter(config.lora, model),
        **kind.more,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _language(common: dict[str, Any], config: FineTuneConfig) -> _Kind:
    packing = bool(config.parameters.packing)
    # Held-out rows are measured one by one, so that how they are packed does not change their loss. A text that is too long
    # for one sequence goes on in the next; nothing is cut off.
    return _Kind(SFTTrainer, SFTConfig(**common, packing=packing, packing_strategy="bfd_split", eval_packing=False))


def _dpo(common: dict[str, Any], config: FineTuneConfig) -> _Kind:
    return _Kind(DPOTrainer, DPOConfig(**common, beta=config.parameters.beta))


def _orpo(common: dict[str, Any], config: FineTuneConfig) -> _Kind:
    return _Kind(ORPOTrainer, ORPOConfig(**common, beta=config.parameters.beta, remove_unused_columns=False))


def _rloo(common: dict[str, Any], config: FineTuneConfig) -> _Kind:
    """REINFORCE, with the mean reward of the other answers to a prompt as baseline."""
    parameters, reward = config.parameters, config.reward
    if reward is None:
        raise invalid("trainer.fineTune.reward: is needed by RLHF")
    functions: list[Any] = [*reward_functions(reward)]
    weights = [each.weight for each in reward.functions]
    if reward.model is not None:
        functions.append(load_reward_model(reward.model))
        weights.append(reward.model_weight)
    arguments = RLOOConfig(
        **{name: value for name, value in common.items() if name != "max_length"},
        beta=parameters.beta,
        num_generations=parameters.num_generations,
        # One answer to each held-out prompt: their mean is what is wanted, and answers take most of the time.
        num_generations_eval=1,
        max_completion_length=parameters.max_completion_length,
        temperature=parameters.temperature,
        reward_weights=weights,
    )
    return _Kind(RLOOTrainer, arguments, {"reward_funcs": functions})


_KINDS = {"SFT": _language, "CPT": _language, "DPO": _dpo, "ORPO": _orpo, "RLHF": _rloo}

"""Metrics of the training as they are reported: names and units of their own, rates of what was really done."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainingjob import reporting
from trainingjob.finetune.ranks import Ranks

# TRL's names in the logs and ours; what is not here keeps TRL's.
_NAMES = {"loss": "train/loss", "grad_norm": "train/grad_norm", "learning_rate": "train/learning_rate"}
# Bookkeeping of the libraries, and rates that count padding or waiting.
_LEFT_OUT = {
    "epoch", "step", "num_tokens", "num_input_tokens_seen", "total_flos", "train_runtime", "train_loss",
    "train_samples_per_second", "train_steps_per_second", "train_tokens_per_second",
    "eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "eval_num_tokens", "eval_loss",
}  # fmt: skip


class Reports(TrainerCallback):  # type: ignore[misc]
    """Reports each log of a training step. Evaluations are the life's to report. Without the number of rows that are trained on,
    no rate of them is reported."""

    def __init__(self, train_samples: int | None, ranks: Ranks | None = None) -> None:
        self._train_samples, self._ranks = train_samples, ranks
        self._began = 0.0
        self._busy = 0.0
        self._epoch = 0.0
        self._tokens: float | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._epoch = state.epoch or 0.0
        # A run that begins has seen none; one that goes on learns how many from its first log.
        self._tokens = 0.0 if state.global_step == 0 else None

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._busy += time.perf_counter() - self._began

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if logs is None or "loss" not in logs:
            return
        memory = gpu_memory(self._ranks)
        if not state.is_world_process_zero:
            return
        metrics = {
            _NAMES.get(name, f"train/{name}"): float(value) for name, value in logs.items() if _is_metric(name, value)
        }
        metrics["train/perplexity"] = perplexity(logs["loss"])
        reporting.report(state.global_step, metrics | self._rates(state, logs) | memory | gpu_use(), epoch=state.epoch)

    def _rates(self, state: TrainerState, logs: dict[str, float]) -> dict[str, float]:
        """Samples and tokens per second of training itself: evaluations and checkpoints take no part."""
        busy, self._busy = self._busy, 0.0
        epoch, self._epoch = self._epoch, state.epoch or 0.0
        tokens, self._tokens = self._tokens, logs.get("num_tokens")
        if busy <= 0:
            return {}
        passed = max(0.0, self._epoch - epoch)
        rates = {} if self._train_samples is None else {"train/samples_per_second": passed * self._train_samples / busy}
        if self._tokens is not None:
            # An attempt that goes on counts from what it found.
            rates["train/tokens_total"] = self._tokens
            if tokens is not None:
                rates["train/tokens_per_second"] = (self._tokens - tokens) / busy
        return rates


def evaluation_metrics(logs: dict[str, Any]) -> dict[str, float]:
    """Metrics of an evaluation by our names. Where answers were rewarded, what the library calls a loss measures nothing; else
    loss and perplexity are among them, where there is a loss."""
    metrics = {
        f"eval/{name.removeprefix('eval_')}": float(value)
        for name, value in logs.items()
        if name.startswith("eval_") and _is_metric(name, value)
    }
    if "eval_reward" in logs or "eval_loss" not in logs:
        return metrics
    return metrics | {"eval/loss": float(logs["eval_loss"]), "eval/perplexity": perplexity(logs["eval_loss"])}


def perplexity(loss: float) -> float:
    """exp(loss), or infinity where that is more than a number can be."""
    return math.exp(loss) if loss < 700 else math.inf if not math.isnan(loss) else loss


def gpu_memory(ranks: Ranks | None) -> dict[str, float]:
    """Bytes that torch holds on this process's GPU; where all ranks call it at the same step, on the GPU on which it holds most.
    Nothing without one."""
    if not torch.cuda.is_available():
        return {}
    held = [float(torch.cuda.memory_allocated()), float(torch.cuda.memory_reserved())]
    allocated, reserved = held if ranks is None else ranks.most(held)
    return {"gpu/memory_allocated_bytes": allocated, "gpu/memory_reserved_bytes": reserved}


def gpu_use() -> dict[str, float]:
    """Of the pod's GPUs: how full the fullest is, and the mean share of time in which they compute, for one that idles is paid for
    as well. What the driver, or a slice of a GPU, does not tell is left out."""
    devices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    found = {}
    full = [share for device in devices if (share := _told(_used, device)) is not None]
    busy = [share for device in devices if (share := _told(torch.cuda.utilization, device)) is not None]
    if full:
        found["gpu/memory_used_ratio"] = max(full)
    if busy:
        found["gpu/utilization_ratio"] = sum(busy) / len(busy) / 100
    return found


def _used(device: int) -> float:
    if device == torch.cuda.current_device():
        free, total = torch.cuda.mem_get_info(device)
        return float((total - free) / total)
    # By NVML, which needs no context on a GPU that is another rank's.
    return float(torch.cuda.device_memory_used(device) / torch.cuda.get_device_properties(device).total_memory)


def _told(ask: Callable[[int], float], device: int) -> float | None:
    try:
        return float(ask(device))
    except Exception:
        # NVML's errors have no common kind, and a figure that cannot be had must not end a run.
        return None


def _is_metric(name: str, value: Any) -> bool:
    named = reporting.METRIC_NAME.fullmatch(f"train/{name}") is not None
    return named and name not in _LEFT_OUT and isinstance(value, (int, float)) and not isinstance(value, bool)

"""Fine-tuning on GPUs: half precision, quantised weights, several processes, and what is reported of the hardware."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.demojob import read_events
from tests.finetunejob import Done, finetune_config, offered, run
from transformers import AutoModelForCausalLM

from trainingjob.exitcodes import ExitCode
from trainingjob.finetune import demo

TRAINER = Path(__file__).parents[1]
LORA = {"r": 4, "alpha": 8, "dropout": "0"}
SFT: dict[str, Any] = {"maxSteps": 12, "loggingSteps": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model", hidden=64)
    for method, rows in demo.ROWS.items():
        demo.write_rows(folder / f"{method}.jsonl", rows(71))
    return folder


def config_in(folder, made, *, method="SFT", lora: Any = LORA, parameters: Any = None, **finetune):
    return finetune_config(
        folder,
        made / "model",
        made / f"{method}.jsonl",
        lora=lora,
        parameters={**SFT, **(parameters or {})},
        finetune={"method": method, **finetune},
    )


def losses(done):
    return [event["metrics"]["train/loss"] for event in done.of("point")]


def learned(done):
    """It ended well, the loss fell, and plain transformers loads what it stored."""
    assert done.code == ExitCode.SUCCESS
    first, *_, last = done.losses().values()
    assert last < first
    AutoModelForCausalLM.from_pretrained(done.folder / "output")


def answered(done):
    """Two prompts at each evaluation."""
    assert [event["step"] for event in done.of("prediction")] == [step for step in done.losses() for _ in range(2)]
    assert all(event["generatedTokens"] > 0 for event in done.of("prediction"))


ASKED = {"predictions": {"sampleCount": 2, "maxNewTokens": 8}}
DTYPES = ["auto", "bfloat16", "float16", "float32"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lora", [LORA, None], ids=["adapter", "all-weights"])
def test_every_type_to_compute_in(made, tmp_path, dtype, lora):
    config = {**config_in(tmp_path, made, lora=lora), **ASKED}
    config["trainer"]["fineTune"]["model"]["dtype"] = dtype
    done = run(tmp_path, config)
    learned(done)
    answered(done)


@pytest.mark.parametrize("quantization", ["NF4", "Int8"])
def test_adapter_on_quantised_weights_is_merged_into_whole_ones(made, tmp_path, quantization):
    done = run(tmp_path, {**config_in(tmp_path, made, quantization=quantization), **ASKED})
    learned(done)
    answered(done)


@pytest.mark.parametrize("optim", ["adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"])
def test_optimizers_that_are_for_gpus(made, tmp_path, optim):
    learned(run(tmp_path, config_in(tmp_path, made, parameters={"optim": optim})))


@pytest.mark.parametrize("method", ["CPT", "DPO", "ORPO"])
def test_other_methods_with_gradient_checkpointing(made, tmp_path, method):
    config = config_in(tmp_path, made, method=method, parameters={"gradientCheckpointing": True})
    done = run(tmp_path, {**config, **ASKED})
    assert done.code == ExitCode.SUCCESS
    answered(done)


def test_memory_and_use_of_the_gpu_are_reported_in_bytes_and_shares(made, tmp_path):
    metrics = run(tmp_path, config_in(tmp_path, made)).of("point")[-1]["metrics"]
    _free, total = torch.cuda.mem_get_info()
    allocated, reserved = (metrics[f"gpu/memory_{name}_bytes"] for name in ("allocated", "reserved"))
    assert 1e5 < allocated <= reserved < total
    assert 0 < metrics["gpu/memory_used_ratio"] <= 1
    assert reserved / total <= metrics["gpu/memory_used_ratio"]
    # A slice of a GPU does not tell its use.
    assert 0 <= metrics.get("gpu/utilization_ratio", 0) <= 1


def test_memory_that_runs_out_is_met_with_half_the_batch(made, tmp_path):
    """What is needed is measured first, and most of what is free is then taken away."""
    parameters = {"perDeviceTrainBatchSize": 32, "maxSteps": 4}
    torch.cuda.reset_peak_memory_stats()
    run(tmp_path / "whole", config_in(tmp_path / "whole", made, parameters=parameters))
    peak = torch.cuda.max_memory_reserved()
    _free, total = torch.cuda.mem_get_info()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.8 * peak / total)
    try:
        done = run(tmp_path / "less", config_in(tmp_path / "less", made, parameters=parameters))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert done.code == ExitCode.SUCCESS
    assert {alert["name"] for alert in done.of("alert")} == {"BatchHalved"}
    assert {event["totalSteps"] for event in done.of("totals")} == {4}


def launched(folder, config):
    """As a pod does it: one process for each GPU."""
    folder.mkdir(exist_ok=True)
    events = folder / "events.jsonl"
    events.write_bytes(b"")
    (folder / "config.json").write_text(json.dumps(config))
    code = subprocess.run(
        [sys.executable, "-m", "trainingjob", "run", "--config", str(folder / "config.json")],
        env={**os.environ, "TRAININGJOB_EVENTS": str(events), "PYTHONPATH": str(TRAINER)},
        timeout=600,
        check=False,
    ).returncode
    return Done(folder, code, read_events(events))


@pytest.mark.gpus(2)
@pytest.mark.parametrize("quantization", [None, "NF4"])
def test_two_gpus_learn_what_one_learns_with_twice_the_batch(made, tmp_path, quantization):
    more = {} if quantization is None else {"quantization": quantization}

    def config(name, rows, processes):
        count = {"distribution": {"processes": processes}}
        parameters = {"perDeviceTrainBatchSize": rows}
        made_here = config_in(tmp_path / name, made, parameters=parameters, **count, **more)
        made_here["trainer"]["fineTune"]["model"]["dtype"] = "float32"
        return made_here

    two, one = launched(tmp_path / "two", config("two", 2, 2)), launched(tmp_path / "one", config("one", 4, 1))
    learned(two)
    assert {event["processes"] for event in two.of("totals")} == {2}
    assert losses(two) == pytest.approx(losses(one), rel=1e-2)


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.gpus(2))])
def test_model_in_parts_is_trained_stored_and_gone_on_with(made, tmp_path, processes):
    def config(steps, **members):
        wanted = {"distribution": {"strategy": "FSDP", "processes": processes}}
        parameters = {"maxSteps": steps, "lrSchedulerType": "constant", "warmupSteps": 0}
        return {**config_in(tmp_path / "run", made, lora=None, parameters=parameters, **wanted), **members}

    before = launched(tmp_path / "run", config(8))
    learned(before)
    done = launched(tmp_path / "run", config(12, resume=offered(before.events)))
    assert done.code == ExitCode.SUCCESS
    assert done.of("resumed")[0]["step"] == 8
    assert [event["step"] for event in done.of("point")] == [9, 10, 11, 12]

"""Every field that the resource has under fineTune reaches the trainer and changes something there."""

import copy
import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import TrainerCallback

from tests import finetunejob  # noqa: F401
from trainingjob.datafile import data_file
from trainingjob.exitcodes import TrainingError
from trainingjob.finetune import demo
from trainingjob.finetune.dataset import prepare, prepare_stream
from trainingjob.finetune.model import load_model, load_tokenizer
from trainingjob.finetune.parameters import parse_finetune
from trainingjob.finetune.processes import wanted_processes
from trainingjob.finetune.ranks import Ranks
from trainingjob.finetune.schedules import library_kwargs
from trainingjob.finetune.source import base_model
from trainingjob.finetune.trainers import common_arguments, make_trainer, total_steps, warmup_steps

torch.set_num_threads(1)

CRD = Path(__file__).parents[2] / "crds" / "trainingjobs.yaml"
CUSTOM_CODE = "from transformers import LlamaForCausalLM\n\nclass Custom(LlamaForCausalLM):\n    pass\n"
OTHER_TEMPLATE = demo.TEMPLATE.replace("<|end|>", "<|end|><|end|>")


# Where a test happens to run says nothing.
_PLACES = ("output_dir", "run_name", "logging_dir")


class Watching(TrainerCallback):  # type: ignore[misc]
    """A callback of this image."""


def twice(completions, **_):
    return [2.0] * len(completions)


def fields_of(schema: dict[str, Any], path: str) -> list[str]:
    """Paths of the fields that hold values; those of a list's objects as if there were one."""
    inner = schema.get("properties") or schema.get("items", {}).get("properties")
    if not inner:
        return [path]
    return [found for name, child in inner.items() for found in fields_of(child, f"{path}.{name}" if path else name)]


def schema_of_finetune() -> dict[str, Any]:
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    schema: Any = version["schema"]["openAPIV3Schema"]
    for name in ("spec", "trainer", "fineTune"):
        schema = schema["properties"][name]
    return dict(schema)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Configurations that work, by method."""
    folder = tmp_path_factory.mktemp("made")
    for name, seed in (("model", 0), ("other", 1)):
        demo.write_model(folder / name, seed=seed)
        (folder / name / "custom.py").write_text(CUSTOM_CODE)
        config = json.loads((folder / name / "config.json").read_text())
        config["auto_map"] = {"AutoModelForCausalLM": "custom.Custom"}
        (folder / name / "config.json").write_text(json.dumps(config))
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    AutoModelForSequenceClassification.from_pretrained(folder / "model", num_labels=1).save_pretrained(folder / "judge")
    AutoTokenizer.from_pretrained(folder / "model").save_pretrained(folder / "judge")
    for method, rows in demo.ROWS.items():
        demo.write_rows(folder / f"{method}.jsonl", rows(30))
    demo.write_rows(folder / "other.jsonl", demo.conversations(20))
    place = folder.as_uri()
    reward = {"functions": [{"name": "Length", "targetTokens": 4}], "model": {"source": f"{place}/judge"}}
    configurations: dict[str, dict[str, Any]] = {
        method: {
            "method": method,
            "model": {"source": f"{place}/model"},
            "dataset": {"source": f"{place}/{method}.jsonl"},
            "parameters": {"maxLength": 128},
            "lora": {},
            **({"reward": reward} if method == "RLHF" else {}),
        }
        for method in demo.ROWS
    }
    whole = {name: value for name, value in configurations["SFT"].items() if name != "lora"}
    steps = with_field(configurations["SFT"], "parameters.maxSteps", 5)
    stream = with_field(steps, "dataset.streaming", True)
    return place, configurations | {"whole": whole, "steps": steps, "stream": stream}


def with_field(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(base)
    *outer, last = path.split(".")
    inner: Any = changed
    for name in outer:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return changed


def observed(value: dict[str, Any], folder: Path) -> Any:
    """What a run would be: the library's arguments, the rows as it gets them, the model, its adapter, its rewards."""
    try:
        config = parse_finetune(value)
        base = base_model(config.model).folder
        tokenizer = load_tokenizer(base, config.model)
        streaming = config.dataset.shuffle_buffer_size is not None
        with data_file(config.dataset.file) as file:
            prepared = prepare_stream(config, tokenizer, file) if streaming else prepare(config, tokenizer)
        model = load_model(base, config)
        kind, dtype = type(model).__name__, str(model.dtype)
        quantised = (getattr(model, "is_loaded_in_4bit", False), getattr(model, "is_loaded_in_8bit", False))
        weights = {name: tensor.float().sum().item() for name, tensor in model.named_parameters()}
        trainer = make_trainer(config, model, tokenizer, prepared.train, prepared.held_out, folder, folder, Ranks())
    except TrainingError as error:
        return str(error)
    adapter = getattr(trainer.model, "peft_config", {}).get("default")
    rewards = [
        function(completions=["{}", "x"], answer=["x", "x"], completion_ids=[[1], [1, 2]], members=["{}", "{}"])
        for function in getattr(trainer, "reward_funcs", [])
        if not isinstance(function, torch.nn.Module)
    ]
    judged = [
        function.config._name_or_path
        for function in getattr(trainer, "reward_funcs", [])
        if hasattr(function, "config")
    ]
    steps = total_steps(trainer)
    arguments = {name: repr(entry) for name, entry in trainer.args.to_dict().items() if name not in _PLACES}
    rows = [list(islice(trainer.train_dataset, 40)), trainer.eval_dataset.to_list()]
    callbacks = [each.__class__.__name__ for each in trainer.callback_handler.callbacks]
    warmup = warmup_steps(config.parameters, steps)
    schedule = library_kwargs(config.parameters.lr_scheduler_type, config.parameters.lr_scheduler_kwargs, steps, warmup)
    # On a pod with four GPUs.
    distribution = [wanted_processes(config, 4), common_arguments(config, folder, together=True).get("fsdp")]
    return [
        distribution, arguments, callbacks, steps, warmup, schedule, rows, kind, dtype, quantised, weights, repr(adapter),
        rewards, judged,
    ]  # fmt: skip


# Then SFT of all weights, of a number of steps, and of rows that are read as they come.
SFT, DPO, RLHF, WHOLE = "SFT", "DPO", "RLHF", "whole"
STEPS, STREAM = "steps", "stream"
CHANGES: dict[str, tuple[str, Any]] = {
    "method": (DPO, "ORPO"),
    "model.source": (SFT, "PLACE/other"),
    # Of a folder there is none; what it does at the Hub, test_finetune_hub shows.
    "model.revision": (SFT, "main"),
    "dataset.revision": (SFT, "main"),
    "dataset.sha256": (SFT, "0" * 64),
    "model.dtype": (SFT, "bfloat16"),
    "model.chatTemplate": (SFT, OTHER_TEMPLATE),
    "model.trustRemoteCode": (SFT, True),
    "dataset.source": (SFT, "PLACE/other.jsonl"),
    "dataset.evalSplit": (SFT, "0.5"),
    "dataset.seed": (SFT, 7),
    "dataset.maxSamples": (SFT, 10),
    "dataset.streaming": (STEPS, True),
    "dataset.shuffleBufferSize": (STREAM, 2),
    "parameters.numTrainEpochs": (SFT, 2),
    "parameters.maxSteps": (SFT, 5),
    "parameters.learningRate": (SFT, "1e-3"),
    "parameters.lrSchedulerType": (SFT, "linear"),
    "parameters.lrSchedulerKwargs.numCycles": (SFT, ("cosine_with_restarts", 3)),
    "parameters.lrSchedulerKwargs.minLrRate": (SFT, ("cosine_with_min_lr", "0.5")),
    "parameters.lrSchedulerKwargs.power": (SFT, ("polynomial", "2")),
    "parameters.lrSchedulerKwargs.numDecaySteps": (SFT, ("warmup_stable_decay", 7)),
    "parameters.warmupRatio": (SFT, "0.5"),
    "parameters.warmupSteps": (SFT, 0),
    "parameters.perDeviceTrainBatchSize": (SFT, 2),
    "parameters.perDeviceEvalBatchSize": (SFT, 2),
    "parameters.gradientAccumulationSteps": (SFT, 2),
    "parameters.maxLength": (SFT, 64),
    "parameters.packing": (SFT, True),
    "parameters.assistantOnlyLoss": (SFT, False),
    "parameters.beta": (DPO, "0.5"),
    "parameters.numGenerations": (RLHF, 2),
    "parameters.maxCompletionLength": (RLHF, 8),
    "parameters.temperature": (RLHF, "0.5"),
    "parameters.weightDecay": (SFT, "0"),
    "parameters.maxGradNorm": (SFT, "0"),
    "parameters.optim": (SFT, "adafactor"),
    "parameters.loggingSteps": (SFT, 3),
    "parameters.gradientCheckpointing": (SFT, True),
    "parameters.seed": (SFT, 0),
    "parameters.reportTo": (SFT, []),
    "lora.r": (SFT, 4),
    "lora.alpha": (SFT, 8),
    "lora.dropout": (SFT, "0"),
    "lora.targetModules": (SFT, ["q_proj"]),
    "quantization": (SFT, "NF4"),
    "reward.functions.name": (RLHF, [{"name": "JSON"}]),
    "reward.functions.pattern": (RLHF, [{"name": "Format", "pattern": "x"}]),
    "reward.functions.targetTokens": (RLHF, [{"name": "Length", "targetTokens": 2}]),
    "reward.functions.entryPoint": (
        RLHF,
        [{"name": "EntryPoint", "entryPoint": "tests.test_finetune_fields:twice"}],
    ),
    "reward.functions.weight": (RLHF, [{"name": "Length", "targetTokens": 4, "weight": "3"}]),
    "reward.model.source": (RLHF, "PLACE/nowhere"),
    "reward.model.weight": (RLHF, "-1"),
    "distribution.strategy": (WHOLE, "FSDP"),
    "distribution.processes": (SFT, 2),
    "callbacks.entryPoint": (SFT, [{"entryPoint": "tests.test_finetune_fields:Watching"}]),
}


def test_every_field_of_the_resource_is_listed():
    """The name of a Secret is the operator's to read; the trainer gets what is in it."""
    assert sorted(fields_of(schema_of_finetune(), "")) == sorted([*CHANGES, "dataset.secretRef.name"])


@pytest.fixture(scope="module")
def unchanged(bases, tmp_path_factory):
    _place, configurations = bases
    return {
        method: observed(configurations[method], tmp_path_factory.mktemp("base"))
        for method in (SFT, DPO, RLHF, WHOLE, STEPS, STREAM)
    }


@pytest.mark.parametrize("path", CHANGES)
def test_field_changes_what_a_run_is(bases, unchanged, tmp_path, path):
    place, configurations = bases
    method, value = CHANGES[path]
    lists = [name for name in ("reward.functions", "callbacks") if path.startswith(f"{name}.")]
    (target,) = lists or [path]
    value = value.replace("PLACE", place) if isinstance(value, str) else value
    before = unchanged[method]
    if isinstance(value, tuple):
        # Of a schedule that is not the default.
        kind, value = value
        base = with_field(configurations[method], "parameters.lrSchedulerType", kind)
        configurations, before = {method: base}, observed(base, tmp_path)
    assert not isinstance(before, str), before
    assert observed(with_field(configurations[method], target, value), tmp_path) != before


def test_same_configuration_is_observed_the_same(bases, unchanged, tmp_path):
    """Or the test above could not fail."""
    assert observed(bases[1][SFT], tmp_path) == unchanged[SFT]

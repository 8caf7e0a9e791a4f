"""The configuration of a fine-tuning trainer: every wrong member gets its sentence, every absent one its method's value."""

import copy
from typing import Any

import pytest
import yaml

from tests.node import ROOT
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune.defaults import METHODS, defaults_of
from trainingjob.finetune.parameters import parse_finetune

LEAST = {"method": "SFT", "model": {"source": "file:///m"}, "dataset": {"source": "file:///d.jsonl"}}


def with_parameters(**parameters):
    return {**LEAST, "parameters": parameters}


WRONG = [
    ({}, "trainer.fineTune.method: must be a text"),
    ({**LEAST, "method": "sft"}, 'trainer.fineTune.method: "sft" is not known.'),
    ({**LEAST, "method": "PPO"}, 'trainer.fineTune.method: "PPO" is not known.'),
    ({**LEAST, "model": {}}, "trainer.fineTune.model.source: must be a text"),
    ({**LEAST, "model": {"source": "x", "dtype": "bf16"}}, 'model.dtype: "bf16" is not known.'),
    ({**LEAST, "model": {"source": "x", "trustRemoteCode": "no"}}, "model.trustRemoteCode: must be true or false"),
    ({**LEAST, "model": {"source": "x", "trust_remote_code": True}}, 'Did you mean "trustRemoteCode"?'),
    ({**LEAST, "dataset": {"source": "x", "evalSplit": "0"}}, "dataset.evalSplit: must be a number between 0 and 1"),
    (
        {**LEAST, "dataset": {"source": "x", "maxSamples": 1}},
        "dataset.maxSamples: must be a whole number of at least 2",
    ),
    ({**LEAST, "quantization": "NF4"}, "trainer.fineTune.lora: is needed with quantization"),
    ({**LEAST, "quantization": "nf4", "lora": {}}, 'quantization: "nf4" is not known. Known: NF4, Int8'),
    ({**LEAST, "lora": {"dropout": "1"}}, "lora.dropout: must be a number of at least 0 and below 1"),
    ({**LEAST, "lora": {"lora_alpha": 8}}, 'lora.lora_alpha: is not known. Did you mean "alpha"?'),
    (with_parameters(learningRate="0"), "parameters.learningRate: must be a number above 0"),
    (with_parameters(learningRate="fast"), "parameters.learningRate: must be a number above 0"),
    (with_parameters(maxLength=4), "parameters.maxLength: must be a whole number of at least 8"),
    (with_parameters(packing="yes"), "parameters.packing: must be true or false"),
    (with_parameters(optim="adam"), 'parameters.optim: "adam" is not known.'),
    (with_parameters(warmupSteps=3, warmupRatio="0.1"), "parameters: write warmupSteps or warmupRatio, not both"),
    (
        with_parameters(beta="0.1"),
        "parameters.beta: SFT has no such parameter, only DPO, RLHF, ORPO have; leave it out",
    ),
    ({**LEAST, "callbacks": "a:B"}, "trainer.fineTune.callbacks: must be a list, not 'a:B'"),
    ({**LEAST, "callbacks": [{}]}, "trainer.fineTune.callbacks[0].entryPoint: must be a text that is not empty"),
    ({**LEAST, "callbacks": [{"entrypoint": "a:B"}]}, "callbacks[0].entryPoint: must be a text"),
    (
        with_parameters(reportTo=["wanb"]),
        'parameters.reportTo: "wanb" is not known. Did you mean "wandb"? Known: azure_ml',
    ),
    (
        with_parameters(reportTo=["mlflow", "mlflow"]),
        'parameters.reportTo: names "mlflow" twice; name each tracker once',
    ),
    (with_parameters(reportTo="wandb"), "parameters.reportTo: must be a list of texts"),
    (with_parameters(lrSchedulerType="step"), 'parameters.lrSchedulerType: "step" is not known.'),
    (
        with_parameters(lrSchedulerKwargs={"power": "2"}),
        "lrSchedulerKwargs.power: is for lrSchedulerType polynomial, not for cosine; leave it out",
    ),
    (
        with_parameters(lrSchedulerType="cosine_with_min_lr", lrSchedulerKwargs={"minLrRate": "1"}),
        "lrSchedulerKwargs.minLrRate: must be a number of at least 0 and below 1, not '1'",
    ),
    (with_parameters(lrSchedulerKwargs={"minLR": 1}), "parameters.lrSchedulerKwargs.minLR: is not known."),
    (with_parameters(evalSteps=50), "parameters.evalSteps: is not known."),
]


@pytest.mark.parametrize(("value", "sentence"), WRONG, ids=[sentence[:60] for _, sentence in WRONG])
def test_wrong_member(value, sentence):
    with pytest.raises(TrainingError) as caught:
        parse_finetune(value)
    assert caught.value.code == ExitCode.CONFIGURATION
    assert sentence in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
def test_absent_parameters_are_the_methods(method):
    reward = {"reward": {"functions": [{"name": "JSON"}]}} if method == "RLHF" else {}
    parameters = parse_finetune({**LEAST, "method": method, **reward}).parameters
    default = defaults_of(method)
    assert parameters.learning_rate == float(str(default["learningRate"]))
    assert parameters.max_length == default["maxLength"]
    assert parameters.num_train_epochs == default["numTrainEpochs"]
    assert (parameters.beta is None) == ("beta" not in default)
    assert (parameters.packing is None) == ("packing" not in default)


def test_zero_and_false_are_values():
    value: Any = {
        **LEAST,
        "dataset": {"source": "x", "seed": 0},
        "lora": {"dropout": "0"},
        "parameters": {
            "warmupSteps": 0,
            "weightDecay": "0",
            "maxGradNorm": "0",
            "seed": 0,
            "assistantOnlyLoss": False,
            "packing": False,
            "reportTo": [],
        },
    }
    config = parse_finetune(value)
    parameters = config.parameters
    assert (config.dataset.seed, parameters.seed, parameters.warmup_steps) == (0, 0, 0)
    assert parameters.report_to == ()
    assert (parameters.weight_decay, parameters.max_grad_norm) == (0, 0)
    assert (parameters.assistant_only_loss, parameters.packing) == (False, False)
    assert config.lora is not None
    assert config.lora.dropout == 0


def objects_of(schema, path=()):
    """Paths of the objects that have members of their own, those of a list's entries included."""
    if "properties" in schema:
        yield path
        for name, inner in schema["properties"].items():
            yield from objects_of(inner, (*path, name))
    elif "items" in schema:
        yield from objects_of(schema["items"], (*path, 0))


def schema_of_finetune():
    (version,) = yaml.safe_load((ROOT / "crds" / "trainingjobs.yaml").read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    for name in ("spec", "trainer", "fineTune"):
        schema = schema["properties"][name]
    return schema


# The operator reads the Secret's name, and hands on none.
OBJECTS = [path for path in objects_of(schema_of_finetune()) if path != ("dataset", "secretRef")]


@pytest.mark.parametrize("path", OBJECTS, ids=[".".join(map(str, path)) or "fineTune" for path in OBJECTS])
def test_what_no_object_of_the_resource_has_the_trainer_refuses(path):
    value: Any = {
        **copy.deepcopy(LEAST),
        "method": "RLHF",
        "reward": {"functions": [{"name": "JSON"}], "model": {"source": "file:///judge"}},
        "parameters": {"lrSchedulerType": "cosine_with_restarts", "lrSchedulerKwargs": {}},
        "lora": {},
        "callbacks": [{"entryPoint": "callbacks:Gradients"}],
        "distribution": {},
    }
    parse_finetune(value)
    inner = value
    for name in path:
        inner = inner[name]
    inner["unheardOf"] = 1
    with pytest.raises(TrainingError, match=r"unheardOf: is not known"):
        parse_finetune(value)

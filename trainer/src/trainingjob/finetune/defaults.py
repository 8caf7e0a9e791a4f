"""What a fine-tuning run takes where the job says nothing, by method. The only place where such a value stands."""

from typing import Any

Value = int | str | bool | list[str]

_COMMON: dict[str, Value] = {
    "numTrainEpochs": 3,
    "perDeviceTrainBatchSize": 4,
    "perDeviceEvalBatchSize": 4,
    "gradientAccumulationSteps": 1,
    "lrSchedulerType": "cosine",
    "warmupRatio": "0.03",
    "weightDecay": "0.01",
    "maxGradNorm": "1",
    "optim": "adamw_torch",
    "loggingSteps": 10,
    "gradientCheckpointing": False,
    "seed": 42,
    "reportTo": ["tensorboard"],
}

_BY_METHOD: dict[str, dict[str, Value]] = {
    "SFT": {"learningRate": "5e-5", "maxLength": 2048, "packing": False, "assistantOnlyLoss": True},
    "CPT": {"learningRate": "2e-5", "maxLength": 4096, "packing": True, "numTrainEpochs": 1},
    "DPO": {"learningRate": "5e-6", "maxLength": 512, "beta": "0.1", "maxGradNorm": "0.3"},
    "RLHF": {
        "learningRate": "1e-5",
        "maxLength": 512,
        "gradientAccumulationSteps": 4,
        "numGenerations": 4,
        "maxCompletionLength": 256,
        "temperature": "1",
        "beta": "0.05",
    },
    "ORPO": {"learningRate": "8e-6", "maxLength": 1024, "beta": "0.1"},
}

METHODS = tuple(_BY_METHOD)

LORA: dict[str, Any] = {"r": 16, "alpha": 32, "dropout": "0.1"}


def defaults_of(method: str) -> dict[str, Value]:
    """Parameters of a method with the values that they have when the job does not set them."""
    return {**_COMMON, **_BY_METHOD[method]}

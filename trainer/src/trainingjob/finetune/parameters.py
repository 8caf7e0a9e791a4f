"""The configuration of a fine-tuning trainer. Names are those of the TrainingJob; decimals are texts there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainingjob.datasource import DataSource, parse_source
from trainingjob.fields import Fields, invalid, nearest, shown
from trainingjob.finetune.defaults import LORA, METHODS, Value, defaults_of
from trainingjob.finetune.reward import Reward, parse_reward
from trainingjob.finetune.schedules import SCHEDULERS, SchedulerKwargs, parse_scheduler_kwargs
from trainingjob.finetune.words import flag, one_of

_MOST_SEED = 2**32 - 1
_MOST_COUNT = 100_000_000

DTYPES = ("auto", "bfloat16", "float16", "float32")
QUANTIZATIONS = ("NF4", "Int8")
STRATEGIES = ("DDP", "FSDP")
_SHARDABLE = ("adamw_torch", "adamw_torch_fused")
# As transformers names them.
TRACKERS = (
    "azure_ml", "clearml", "codecarbon", "comet_ml", "dagshub", "dvclive", "flyte", "kubeflow", "mlflow", "neptune", "swanlab",
    "tensorboard", "trackio", "wandb",
)  # fmt: skip
OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor")


@dataclass(frozen=True)
class ModelSource:
    """Which model; `chat_template` replaces its tokenizer's, and is Jinja."""

    source: str
    revision: str | None
    dtype: str
    trust_remote_code: bool
    chat_template: str | None


@dataclass(frozen=True)
class DatasetSource:
    """Which rows; `eval_split` is the share of them that is held out, `max_samples` how many are taken (None: all). `shuffle_buffer_size`:
    rows that are held at once where they are read as they come; None where all are."""

    file: DataSource
    eval_split: float
    seed: int
    max_samples: int | None
    shuffle_buffer_size: int | None

    @property
    def source(self) -> str:
        """The file's address as it may be shown."""
        return self.file.source


@dataclass(frozen=True)
class Parameters:
    """Hyper-parameters, named as in transformers and TRL; None where the method has no such parameter."""

    num_train_epochs: int
    max_steps: int | None
    learning_rate: float
    per_device_train_batch_size: int
    per_device_eval_batch_size: int
    gradient_accumulation_steps: int
    max_length: int
    lr_scheduler_type: str
    lr_scheduler_kwargs: SchedulerKwargs
    warmup_ratio: float
    warmup_steps: int | None
    weight_decay: float
    max_grad_norm: float
    optim: str
    logging_steps: int
    gradient_checkpointing: bool
    seed: int
    report_to: tuple[str, ...]
    packing: bool | None
    assistant_only_loss: bool | None
    beta: float | None
    num_generations: int | None
    max_completion_length: int | None
    temperature: float | None


@dataclass(frozen=True)
class Lora:
    """A low-rank adapter; `target_modules` are ends of modules' names (None: those of the architecture)."""

    r: int
    alpha: int
    dropout: float
    target_modules: tuple[str, ...] | None


@dataclass(frozen=True)
class Distribution:
    """How several processes train together: each with the whole model (DDP), or with a part of it (FSDP). `processes`: how many;
    None for one on each GPU of the pod."""

    strategy: str
    processes: int | None


@dataclass(frozen=True)
class FineTuneConfig:
    """What to train on what, and how; `callbacks` are entry points."""

    method: str
    model: ModelSource
    dataset: DatasetSource
    parameters: Parameters
    lora: Lora | None
    quantization: str | None
    reward: Reward | None
    callbacks: tuple[str, ...]
    distribution: Distribution


def parse_finetune(value: Any) -> FineTuneConfig:
    """Parses `trainer.fineTune`; raises TrainingError with exit code 2."""
    fields = Fields(value, "trainer.fineTune")
    method = one_of(fields, "method", METHODS)
    lora, quantization, reward = (fields.get(name) for name in ("lora", "quantization", "reward"))
    config = FineTuneConfig(
        method=method,
        model=_model(fields.require("model")),
        dataset=_dataset(fields.require("dataset")),
        parameters=_parameters(fields.get("parameters"), method),
        lora=None if lora is None else _lora(lora),
        quantization=None if quantization is None else one_of(fields, "quantization", QUANTIZATIONS),
        reward=None if reward is None else parse_reward(reward),
        callbacks=_callbacks(fields),
        distribution=_distribution(fields.get("distribution")),
    )
    fields.close()
    _check_distribution(config)
    _check_streaming(config)
    if config.quantization is not None and config.lora is None:
        raise invalid("trainer.fineTune.lora: is needed with quantization, because quantised weights cannot be trained")
    if (config.method == "RLHF") != (config.reward is not None):
        how = (
            "is needed by RLHF: name reward functions or a reward model"
            if reward is None
            else "is for RLHF only; leave it out"
        )
        raise invalid(f"trainer.fineTune.reward: {how}")
    return config


def _distribution(value: Any) -> Distribution:
    fields = Fields({} if value is None else value, "trainer.fineTune.distribution")
    found = Distribution(
        strategy=one_of(fields, "strategy", STRATEGIES, "DDP"),
        processes=None if fields.get("processes") is None else fields.integer("processes", least=1, most=64),
    )
    fields.close()
    return found


def _check_streaming(config: FineTuneConfig) -> None:
    if config.dataset.shuffle_buffer_size is None:
        return
    where = "trainer.fineTune.dataset.streaming"
    if config.method not in ("SFT", "CPT"):
        raise invalid(f"{where}: {config.method} looks at all rows before it begins; leave it out, or write SFT or CPT")
    if config.parameters.max_steps is None:
        raise invalid(
            f"{where}: how many rows there are is not known before they are read; write how long to train in "
            "trainer.fineTune.parameters.maxSteps"
        )


def _check_distribution(config: FineTuneConfig) -> None:
    if config.distribution.strategy != "FSDP":
        return
    where = "trainer.fineTune.distribution.strategy: FSDP"
    if config.method == "RLHF":
        raise invalid(f"{where} is not for RLHF, whose answers are made by whole models; write DDP")
    if config.lora is not None:
        raise invalid(f"{where} is for training all weights, and an adapter is trained by DDP; write DDP")
    if config.parameters.optim not in _SHARDABLE:
        raise invalid(
            f"{where} cannot share out the state of {config.parameters.optim}; write {' or '.join(_SHARDABLE)} in "
            "trainer.fineTune.parameters.optim"
        )


def _callbacks(fields: Fields) -> tuple[str, ...]:
    where, value = fields.path("callbacks"), fields.get("callbacks")
    if value is None:
        return ()
    if not isinstance(value, list):
        raise invalid(f"{where}: must be a list, not {shown(value)}")
    return tuple(_entry_point(each, f"{where}[{index}]") for index, each in enumerate(value))


def _entry_point(value: Any, where: str) -> str:
    fields = Fields(value, where)
    name = fields.text("entryPoint")
    fields.close()
    return name


def _revision(fields: Fields) -> str | None:
    revision = fields.optional_text("revision")
    if revision is not None and not fields.text("source").startswith("hf://"):
        raise invalid(f"{fields.path('revision')}: is for hf:// only; leave it out")
    return revision


def _model(value: Any) -> ModelSource:
    fields = Fields(value, "trainer.fineTune.model")
    model = ModelSource(
        source=fields.text("source"),
        revision=_revision(fields),
        dtype=one_of(fields, "dtype", DTYPES, "auto"),
        trust_remote_code=flag(fields, "trustRemoteCode", False),
        chat_template=fields.optional_text("chatTemplate"),
    )
    fields.close()
    return model


def _dataset(value: Any) -> DatasetSource:
    fields = Fields(value, "trainer.fineTune.dataset")
    most = fields.get("maxSamples")
    streaming = flag(fields, "streaming", False)
    if not streaming and fields.get("shuffleBufferSize") is not None:
        raise invalid(
            f"{fields.path('shuffleBufferSize')}: is for rows that are read as they come; write streaming: true"
        )
    dataset = DatasetSource(
        file=parse_source(fields, "spec.trainer.fineTune.dataset"),
        eval_split=fields.decimal(
            "evalSplit", "0.05", lambda share: 0 < share < 1, 'a number between 0 and 1, such as "0.05"'
        ),
        seed=fields.integer("seed", 42, most=_MOST_SEED),
        max_samples=None if most is None else fields.integer("maxSamples", least=2),
        shuffle_buffer_size=fields.integer("shuffleBufferSize", 10_000, least=1, most=_MOST_COUNT)
        if streaming
        else None,
    )
    fields.close()
    return dataset


def _parameters(value: Any, method: str) -> Parameters:
    fields = Fields({} if value is None else value, "trainer.fineTune.parameters")
    default = defaults_of(method)

    def count(name: str, *, least: int = 1, most: int = _MOST_COUNT) -> int:
        return fields.integer(name, int(str(default[name])), least=least, most=most)

    def optional_count(name: str, *, least: int) -> int | None:
        return None if fields.get(name) is None else fields.integer(name, least=least, most=_MOST_COUNT)

    def number(name: str, fits: Callable[[float], bool], wanted: str) -> float:
        return fields.decimal(name, str(default[name]), fits, wanted)

    def only_where(name: str, read: Callable[[], Any]) -> Any:
        return read() if name in default else None

    schedule = one_of(fields, "lrSchedulerType", SCHEDULERS, str(default["lrSchedulerType"]))
    parameters = Parameters(
        num_train_epochs=count("numTrainEpochs", most=10_000),
        max_steps=optional_count("maxSteps", least=1),
        learning_rate=number("learningRate", lambda rate: 0 < rate <= 10, "a number above 0 and at most 10"),
        per_device_train_batch_size=count("perDeviceTrainBatchSize", most=4096),
        per_device_eval_batch_size=count("perDeviceEvalBatchSize", most=4096),
        gradient_accumulation_steps=count("gradientAccumulationSteps", most=65_536),
        max_length=count("maxLength", least=8, most=1_048_576),
        lr_scheduler_type=schedule,
        lr_scheduler_kwargs=parse_scheduler_kwargs(
            fields.get("lrSchedulerKwargs"), schedule, fields.path("lrSchedulerKwargs")
        ),
        warmup_ratio=number("warmupRatio", lambda share: 0 <= share <= 1, "a number from 0 to 1"),
        warmup_steps=optional_count("warmupSteps", least=0),
        weight_decay=number("weightDecay", lambda decay: 0 <= decay <= 1, "a number from 0 to 1"),
        max_grad_norm=number(
            "maxGradNorm", lambda norm: 0 <= norm <= 1e6, "a number from 0, which clips nothing, to 1e6"
        ),
        optim=one_of(fields, "optim", OPTIMIZERS, str(default["optim"])),
        logging_steps=count("loggingSteps", most=1_000_000),
        gradient_checkpointing=flag(fields, "gradientCheckpointing", bool(default["gradientCheckpointing"])),
        seed=count("seed", least=0, most=_MOST_SEED),
        report_to=_trackers(fields, default["reportTo"]),
        packing=only_where("packing", lambda: flag(fields, "packing", bool(default["packing"]))),
        assistant_only_loss=only_where(
            "assistantOnlyLoss", lambda: flag(fields, "assistantOnlyLoss", bool(default["assistantOnlyLoss"]))
        ),
        num_generations=only_where("numGenerations", lambda: count("numGenerations", least=2, most=1024)),
        max_completion_length=only_where("maxCompletionLength", lambda: count("maxCompletionLength", most=1_048_576)),
        temperature=only_where(
            "temperature", lambda: number("temperature", lambda heat: 0 < heat <= 10, "a number above 0 and at most 10")
        ),
        beta=only_where("beta", lambda: number("beta", lambda beta: 0 <= beta <= 1000, "a number from 0 to 1000")),
    )
    _refuse_foreign(value, default, method)
    fields.close()
    if fields.get("warmupRatio") is not None and parameters.warmup_steps is not None:
        raise invalid("trainer.fineTune.parameters: write warmupSteps or warmupRatio, not both")
    together = parameters.per_device_train_batch_size * parameters.gradient_accumulation_steps
    if parameters.num_generations is not None and together % parameters.num_generations != 0:
        raise invalid(
            f"trainer.fineTune.parameters.numGenerations: {parameters.num_generations} answers to each prompt must fit into "
            f"perDeviceTrainBatchSize times gradientAccumulationSteps, {together}, without a rest"
        )
    return parameters


def _trackers(fields: Fields, default: Any) -> tuple[str, ...]:
    """An empty list is one: none."""
    where = fields.path("reportTo")
    names = tuple(default if fields.get("reportTo") is None else fields.texts("reportTo"))
    for name in names:
        if name not in TRACKERS:
            raise invalid(f'{where}: "{name}" is not known.{nearest(name, TRACKERS)} Known: {", ".join(TRACKERS)}')
        if names.count(name) > 1:
            raise invalid(f'{where}: names "{name}" twice; name each tracker once')
    return names


def _refuse_foreign(value: Any, known: dict[str, Value], method: str) -> None:
    """A parameter of another method gets its own sentence."""
    for name in value or {}:
        others = [other for other in METHODS if name in defaults_of(other)]
        if name not in known and others:
            raise invalid(
                f"trainer.fineTune.parameters.{name}: {method} has no such parameter, only {', '.join(others)} have; leave it out"
            )


def _lora(value: Any) -> Lora:
    fields = Fields(value, "trainer.fineTune.lora")
    targets = fields.texts("targetModules")
    lora = Lora(
        r=fields.integer("r", LORA["r"], least=1, most=1024),
        alpha=fields.integer("alpha", LORA["alpha"], least=1, most=8192),
        dropout=fields.decimal(
            "dropout", LORA["dropout"], lambda share: 0 <= share < 1, "a number of at least 0 and below 1"
        ),
        target_modules=tuple(targets) or None,
    )
    fields.close()
    return lora

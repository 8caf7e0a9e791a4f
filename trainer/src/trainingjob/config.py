"""The configuration of one run: what the operator sends to the agent, and what `trainingjob run --config` reads."""

from dataclasses import dataclass, field
from typing import Any

from trainingjob.earlystopping import EarlyStopping, parse_early_stopping
from trainingjob.fields import Fields, invalid
from trainingjob.finetune.hubtarget import HubTarget, parse_target
from trainingjob.finetune.parameters import FineTuneConfig, parse_finetune
from trainingjob.finetune.words import flag, one_of
from trainingjob.predictions import Predictions, parse_predictions
from trainingjob.resuming import Resumable, parse_resume
from trainingjob.scoring.best import Scoring
from trainingjob.scoring.metric import parse_metric
from trainingjob.storage.s3settings import Keys, parse_keys, parse_s3
from trainingjob.tabular.parameters import TabularConfig, parse_tabular

PROTOCOL_VERSION = 1


@dataclass(frozen=True)
class Job:
    """Whose run this is; a stored final report counts only for the same uid, run and spec hash."""

    uid: str
    namespace: str
    name: str
    attempt: int
    run: int
    spec_hash: str


@dataclass(frozen=True)
class Custom:
    """Any trainer: a command and its arguments."""

    command: tuple[str, ...]


@dataclass(frozen=True)
class Checkpoints:
    """How often checkpoints are saved, in steps (None: at every evaluation) and in minutes besides, and how many stay."""

    every_steps: int | None
    keep_best: int
    keep_last: int
    every_minutes: int | None = None


@dataclass(frozen=True)
class Storage:
    """Folder URIs of this run; None where the job stores nothing of that kind.

    In `cache` lies what other attempts and jobs may need as well. `s3` are variables of the environment; `keys` are those of single addresses.
    """

    checkpoints: str | None
    output: str | None
    cache: str | None
    s3: dict[str, str]
    keys: Keys = field(repr=False)


@dataclass(frozen=True)
class Output:
    """Which of a fine-tuned model's weights are the result, whether an adapter is merged into its base, and where else it goes."""

    weights: str
    merge: bool
    hugging_face: HubTarget | None


@dataclass(frozen=True)
class AgentDurations:
    """Seconds."""

    heartbeat: float
    hold: float
    stop_grace: float


@dataclass(frozen=True)
class Config:
    """All that a run needs. `raw` is the object that was parsed."""

    job: Job
    trainer: TabularConfig | FineTuneConfig | Custom
    env: dict[str, str]
    secret_env: tuple[str, ...]
    evaluation_every_steps: int | None
    checkpoints: Checkpoints | None
    storage: Storage
    output: Output
    scoring: Scoring
    early_stopping: EarlyStopping | None
    predictions: Predictions | None
    resume: tuple[Resumable, ...] | None
    agent: AgentDurations
    raw: dict[str, Any]


def parse_config(value: Any) -> Config:
    """Parses a configuration.

    Raises:
        TrainingError: exit code 2, with a sentence that names the member and what to write instead.
    """
    fields = Fields(value, "")
    version = fields.get("protocolVersion")
    if version is not None and version != PROTOCOL_VERSION:
        raise invalid(
            f"protocolVersion: is {version}, this trainer speaks {PROTOCOL_VERSION}; use an image that fits the operator"
        )
    evaluation, trainer = fields.get("evaluation"), _trainer(fields.require("trainer"))
    config = Config(
        job=_job(fields.get("job")),
        trainer=trainer,
        env=_env(fields.get("env")),
        secret_env=_secret_env(fields.get("secretEnv")),
        evaluation_every_steps=_evaluation(evaluation) if evaluation is not None else None,
        checkpoints=_checkpoints(fields.get("checkpoints"), trainer),
        storage=_storage(fields.get("storage")),
        output=_output(fields.get("output"), trainer),
        scoring=_scoring(fields.get("scoring"), trainer),
        early_stopping=_early_stopping(fields.get("earlyStopping"), trainer),
        predictions=_predictions(fields.get("predictions"), trainer),
        resume=parse_resume(fields.get("resume")),
        agent=parse_agent(fields.get("agent")),
        raw=value,
    )
    fields.close()
    return config


def _job(value: Any) -> Job:
    fields = Fields({} if value is None else value, "job")
    job = Job(
        uid=fields.text("uid", "local"),
        namespace=fields.text("namespace", "local"),
        name=fields.text("name", "local"),
        attempt=fields.integer("attempt", 1, least=0),
        run=fields.integer("run", 1, least=1),
        spec_hash=fields.text("specHash", "local"),
    )
    fields.close()
    return job


def _trainer(value: Any) -> TabularConfig | FineTuneConfig | Custom:
    fields = Fields(value, "trainer")
    tabular, finetune, custom = fields.get("tabular"), fields.get("fineTune"), fields.get("custom")
    fields.close()
    if sum(each is not None for each in (tabular, finetune, custom)) != 1:
        raise invalid("trainer: write exactly one of fineTune, tabular and custom")
    if tabular is not None:
        return parse_tabular(tabular)
    return parse_finetune(finetune) if finetune is not None else _custom(custom)


def _custom(value: Any) -> Custom:
    fields = Fields(value, "trainer.custom")
    command, args = fields.texts("command"), fields.texts("args")
    fields.optional_text("image")
    fields.close()
    if not command:
        raise invalid('trainer.custom.command: is empty; write the command to run, such as ["python", "train.py"]')
    return Custom(command=(*command, *args))


def _env(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(entry, str) for entry in value.values()):
        raise invalid("env: must be an object of texts")
    return dict(value)


def _secret_env(value: Any) -> tuple[str, ...]:
    """Names of the variables in `env` whose values come from Secrets."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise invalid("secretEnv: must be a list of names in env")
    return tuple(value)


def _evaluation(value: Any) -> int:
    fields = Fields(value, "evaluation")
    every = fields.integer("everySteps", least=1)
    fields.close()
    return every


def _checkpoints(value: Any, trainer: TabularConfig | FineTuneConfig | Custom) -> Checkpoints | None:
    if value is None:
        return None
    fields = Fields(value, "checkpoints")
    fields.optional_text("uri")
    intervals: dict[str, int | None] = {}
    for name in ("everySteps", "everyMinutes"):
        intervals[name] = None if fields.get(name) is None else fields.integer(name, least=1)
        if intervals[name] is not None and isinstance(trainer, TabularConfig) and trainer.search is not None:
            raise invalid(f"checkpoints.{name}: a search stores a checkpoint after each trial; leave it out")
    checkpoints = Checkpoints(
        every_steps=intervals["everySteps"],
        every_minutes=intervals["everyMinutes"],
        keep_best=fields.integer("keepBest", 1, least=1),
        keep_last=fields.integer("keepLast", 2, least=1),
    )
    fields.close()
    return checkpoints


def _output(value: Any, trainer: TabularConfig | FineTuneConfig | Custom) -> Output:
    """What of the result is stored. Where the user wants it is told; the run's own folder below it is `storage.output`."""
    if value is None:
        return Output(weights="Best", merge=True, hugging_face=None)
    fields = Fields(value, "output")
    fields.text("uri")
    names = ("weights", "merge", "huggingFace")
    foreign = [] if isinstance(trainer, FineTuneConfig) else [name for name in names if name in value]
    if foreign:
        raise invalid(f"output.{foreign[0]}: is for fineTune only; leave it out")
    output = Output(
        weights=one_of(fields, "weights", ("Best", "Last"), "Best"),
        merge=flag(fields, "merge", True),
        hugging_face=parse_target(fields.get("huggingFace")),
    )
    fields.close()
    return output


def _storage(value: Any) -> Storage:
    fields = Fields({} if value is None else value, "storage")
    checkpoints, output = fields.optional_text("checkpoints"), fields.optional_text("output")
    cache = fields.optional_text("cache")
    s3, keys = parse_s3(fields.get("s3")), parse_keys(fields.get("keys"))
    fields.close()
    return Storage(checkpoints=checkpoints, output=output, cache=cache, s3=s3, keys=keys)


def _scoring(value: Any, trainer: TabularConfig | FineTuneConfig | Custom) -> Scoring:
    searches = isinstance(trainer, TabularConfig) and trainer.search is not None
    if value is None and isinstance(trainer, FineTuneConfig) and trainer.method == "RLHF":
        return Scoring(metric="eval/reward", goal="Maximize")
    if value is None and searches:
        return Scoring(metric="eval/loss", goal="Minimize")
    fields = Fields({"strategy": "MultiMetric"} if value is None else value, "scoring")
    strategy = fields.text("strategy")
    metric = fields.get("metric")
    fields.close()
    if strategy == "MultiMetric" and searches:
        raise invalid(
            "scoring.strategy: MultiMetric weighs an evaluation against the one before it, which trials of a search are not; write "
            "SingleMetric with a metric"
        )
    if strategy == "MultiMetric":
        return Scoring(metric=None, goal="Minimize")
    if strategy != "SingleMetric":
        raise invalid(f"scoring.strategy: must be MultiMetric or SingleMetric, not {strategy!r}")
    found = parse_metric(metric, "scoring.metric")
    return Scoring(metric=found.name, goal=found.goal)


def _early_stopping(value: Any, trainer: TabularConfig | FineTuneConfig | Custom) -> EarlyStopping | None:
    found = parse_early_stopping(value)
    if found is not None and isinstance(trainer, Custom):
        raise invalid("earlyStopping: the program of a custom job decides itself when it ends; leave it out")
    if found is not None and isinstance(trainer, TabularConfig) and trainer.family.steps is None:
        raise invalid(f"earlyStopping: {trainer.family.name} is fitted at once and cannot stop early; leave it out")
    return found


def _predictions(value: Any, trainer: TabularConfig | FineTuneConfig | Custom) -> Predictions | None:
    found = parse_predictions(value)
    if value is not None and not isinstance(trainer, FineTuneConfig):
        raise invalid("predictions: are those of a language model; leave them out, or train one with trainer.fineTune")
    if found is not None and isinstance(trainer, FineTuneConfig) and trainer.distribution.strategy == "FSDP":
        raise invalid("predictions: are made by whole models, which FSDP has none of; leave them out, or write DDP")
    return found


def parse_agent(value: Any) -> AgentDurations:
    """Parses `agent`; raises TrainingError with exit code 2."""
    fields = Fields({} if value is None else value, "agent")

    def seconds(name: str, default: str) -> float:
        return fields.decimal(name, default, lambda number: number >= 0, "a number of seconds of at least 0")

    durations = AgentDurations(
        heartbeat=fields.decimal("heartbeatSeconds", "10", lambda number: number > 0, "a number of seconds above 0"),
        hold=seconds("holdSeconds", "120"),
        stop_grace=seconds("stopGraceSeconds", "120"),
    )
    fields.close()
    return durations

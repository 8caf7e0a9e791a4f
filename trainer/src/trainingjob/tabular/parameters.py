"""The configuration of a tabular trainer. Names are those of the TrainingJob; decimals are texts there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from trainingjob.datasource import DataSource, parse_source
from trainingjob.fields import Fields, invalid, nearest, shown
from trainingjob.tabular.data.preprocessing import Preprocessing, parse_preprocessing
from trainingjob.tabular.families.known import FAMILIES, MODEL_TYPES, TASKS, Family, owners
from trainingjob.tabular.hyperparameters import MOST_SEED, Values, changed, parse_hyperparameters, python_name
from trainingjob.tabular.search.dimension import Dimension
from trainingjob.tabular.search.parameters import SearchConfig, parse_search

MOST_FOLDS = 20
# Numbers of eight bytes, and a fifth on top.
_FOLD_BYTES = 10

ClassWeight = Literal["None", "Balanced"]
Export = Literal["ONNX"]


@dataclass(frozen=True)
class TabularConfig:
    """What to fit to which rows. `eval_split` and `test_split` are shares of the rows; `search` is None where the parameters are
    all given, `folds` where nothing is cross-validated."""

    model_type: str
    family: Family
    task: str
    file: DataSource
    eval_split: float
    test_split: float
    seed: int
    target: str
    features: tuple[str, ...] | None
    excluded: tuple[str, ...]
    preprocessing: Preprocessing
    class_weight: ClassWeight
    parameters: Values
    search: SearchConfig | None = None
    folds: int | None = None
    export: tuple[Export, ...] = ()

    @property
    def source(self) -> str:
        """The file's address as it may be shown."""
        return self.file.source

    @property
    def bytes_per_number(self) -> int:
        """Memory for each cell of the table. The inputs of a fold are a copy beside those of the run."""
        return self.family.bytes_per_number + (0 if self.folds is None else _FOLD_BYTES)


def parse_tabular(value: Any) -> TabularConfig:
    """Parses `trainer.tabular`; raises TrainingError with exit code 2."""
    fields = Fields(value, "trainer.tabular")
    model_type = fields.text("modelType")
    if model_type not in MODEL_TYPES:
        known = ", ".join(MODEL_TYPES)
        raise invalid(
            f'trainer.tabular.modelType: "{model_type}" is not known.{nearest(model_type, MODEL_TYPES)} Known: {known}'
        )
    task = next(task for task in TASKS if model_type.endswith(f"_{task}"))
    family = FAMILIES[model_type.removesuffix(f"_{task}")]
    file, eval_split, test_split, seed, folds = _dataset(fields.require("dataset"))
    features, excluded = _names(fields, "features"), _names(fields, "excludeFeatures")
    if features is not None and excluded is not None:
        raise invalid("trainer.tabular.excludeFeatures: goes without features; write one of the two")
    given, search = fields.get("parameters"), fields.get("search")
    given = {} if given is None else given
    parameters = parse_hyperparameters(given, family.name, family.hyperparameters, owners())

    def idle(name: str, searched: Mapping[str, Dimension]) -> str | None:
        return _idle(model_type, family.name, parameters, searched).get(name)

    config = TabularConfig(
        model_type=model_type,
        family=family,
        task=task,
        file=file,
        eval_split=eval_split,
        test_split=test_split,
        seed=seed,
        target=fields.text("target").strip(),
        features=features,
        excluded=excluded or (),
        preprocessing=parse_preprocessing(
            fields.get("preprocessing"),
            family.name,
            native_missing=family.native_missing,
            native_categories=family.native_categories,
        ),
        class_weight=fields.choice("classWeight", get_args(ClassWeight), "None"),
        parameters=parameters,
        search=None if search is None else parse_search(search, family, given, idle),
        folds=folds,
        export=_exports(fields),
    )
    fields.close()
    _check(config)
    _check_idle(config, changed(given, family.hyperparameters))
    return config


def _dataset(value: Any) -> tuple[DataSource, float, float, int, int | None]:
    fields = Fields(value, "trainer.tabular.dataset")
    file = parse_source(fields, "spec.trainer.tabular.dataset")
    eval_split = fields.decimal(
        "evalSplit", "0.2", lambda share: 0 < share < 1, 'a number between 0 and 1, such as "0.2"'
    )
    test_split = fields.decimal(
        "testSplit", "0", lambda share: 0 <= share < 1, 'a number of at least 0 and below 1, such as "0.2"'
    )
    seed = fields.integer("seed", 42, most=MOST_SEED)
    folds = None if fields.get("folds") is None else fields.integer("folds", least=2, most=MOST_FOLDS)
    fields.close()
    if eval_split + test_split >= 1:
        raise invalid(
            f"trainer.tabular.dataset.testSplit: {test_split:g} and evalSplit {eval_split:g} leave no rows to train on; "
            "write shares that come to less than 1 together"
        )
    return file, eval_split, test_split, seed, folds


def _exports(fields: Fields) -> tuple[Export, ...]:
    """Other formats that the model is stored in besides its library's own."""
    known = get_args(Export)
    found = fields.texts("export")
    for place, name in enumerate(found):
        if name not in known:
            raise invalid(
                f'{fields.path("export")}: must be a list of {", ".join(known)}, and holds "{name}".{nearest(name, known)}'
            )
        if name in found[:place]:
            raise invalid(f"{fields.path('export')}: names {name} twice; name each format once")
    return tuple(name for name in known if name in found)


def _names(fields: Fields, name: str) -> tuple[str, ...] | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(entry, str) for entry in value):
        raise invalid(
            f"{fields.path(name)}: must be a list of column names, not {shown(value)}; leave it out to use all columns"
        )
    # As those of the file are read, without spaces around them.
    names = [entry.strip() for entry in value]
    doubled = next((entry for entry in names if names.count(entry) > 1), None)
    if doubled is not None:
        raise invalid(f'{fields.path(name)}: names "{doubled}" twice; name each column once')
    return tuple(names)


def _check(config: TabularConfig) -> None:
    """What goes together."""
    where = "trainer.tabular"
    if "ONNX" in config.export and config.family.name == "catboost" and config.preprocessing.encoding == "Native":
        raise invalid(
            f"{where}.export: CatBoost writes no ONNX of a model with categories; write preprocessing.encoding: OneHot or Ordinal"
        )
    if config.class_weight != "None" and config.task == "regression":
        raise invalid(f"{where}.classWeight: goes with a classification; leave it out for {config.model_type}")
    if config.target in config.excluded:
        raise invalid(
            f'{where}.excludeFeatures: names the target "{config.target}", which is never a feature; leave it out'
        )


def _check_idle(config: TabularConfig, given: frozenset[str]) -> None:
    """Refuses parameters that the library would pass over in silence beside the others. One that has its default is none: the
    operator names all of them."""
    searched = {} if config.search is None else {one.name: one for one in config.search.space}
    for name, reason in _idle(config.model_type, config.family.name, config.parameters, searched).items():
        if name in given:
            raise invalid(f"trainer.tabular.parameters.{name}: {reason}")


def _idle(model_type: str, family: str, chosen: Values, searched: Mapping[str, Dimension]) -> dict[str, str]:
    """Parameters without effect, and why. One that another decides about has an effect where any of its values gives it one."""

    def possible(name: str) -> tuple[Any, ...]:
        one = searched.get(name)
        if one is None:
            return (chosen[python_name(name)],)
        return one.choices or (one.low, one.high)

    found: dict[str, str] = {}
    if family == "catboost" and not {"MVS", "Bernoulli"} & {*possible("bootstrapType")}:
        found["subsample"] = "goes with bootstrapType MVS or Bernoulli; leave it out"
    if family == "lightgbm" and not any(possible("baggingFreq")):
        found["baggingFraction"] = "goes with a baggingFreq above 0; leave it out, or write baggingFreq: 1"
    if family == "keras":
        for name, optimizer in (("weightDecay", "adamw"), ("momentum", "sgd")):
            if optimizer not in possible("optimizer"):
                found[name] = (
                    f"goes with optimizer {optimizer}, not with {' or '.join(possible('optimizer'))}; leave it out"
                )
    if family != "svm":
        return found
    kernels = possible("kernel")
    for name, fit in (("degree", ("poly",)), ("coef0", ("poly", "sigmoid")), ("gamma", ("rbf", "poly", "sigmoid"))):
        if not {*fit} & {*kernels}:
            found[name] = f"goes with kernel {' or '.join(fit)}, not with {' or '.join(kernels)}; leave it out"
    if model_type != "svm_regression":
        found["epsilon"] = "goes with svm_regression; leave it out"
    else:
        found["randomState"] = "nothing is left to chance in svm_regression; leave it out"
    return found

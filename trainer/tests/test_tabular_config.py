"""`trainer.tabular`: each family's parameters, what goes together, and that resource and trainer know the same."""

from pathlib import Path
from typing import Any, get_args

import pytest

from tests.node import from_node
from tests.test_config import dataset, parameters, tabular
from trainingjob.config import parse_config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.tabular.data.kinds import KINDS
from trainingjob.tabular.data.preprocessing import Encoding, Imputing, Scaling
from trainingjob.tabular.families.known import FAMILIES, MODEL_TYPES, owners
from trainingjob.tabular.hyperparameters import (
    Choice,
    Decimal,
    Flag,
    Hyperparameter,
    Integer,
    WordOrDecimal,
    python_name,
)
from trainingjob.tabular.layers import Layers
from trainingjob.tabular.parameters import TabularConfig

ROOT = Path(__file__).parents[2]


def of(model_type, **members):
    return tabular(modelType=model_type, **members)


def set_for(model_type, **members):
    return of(model_type, parameters=members)


def dense(units: int, activation: str = "relu") -> dict[str, Any]:
    return {"type": "Dense", "units": units, "activation": activation}


WRONG = [
    (parameters(numLeaves=31), "numLeaves: is a parameter of lightgbm, not of xgboost. Those of xgboost: nEstimators,"),
    (parameters(preset="Fast"), "preset: is a parameter of lightgbm, not of xgboost."),
    (
        set_for("catboost_regression", nEstimators=5),
        "nEstimators: is a parameter of xgboost, lightgbm and random_forest",
    ),
    (set_for("lightgbm_regression", preset="Quick"), "preset: must be one of Default, Large, Fast, HighAccuracy"),
    (set_for("lightgbm_regression", numLeafs=5), 'numLeafs: is not known. Did you mean "numLeaves"?'),
    (
        set_for("lightgbm_regression", baggingFreq=0, baggingFraction="0.5"),
        "baggingFraction: goes with a baggingFreq above 0",
    ),
    (set_for("catboost_regression", bootstrapType="No", subsample="0.5"), "subsample: goes with bootstrapType MVS or"),
    (set_for("catboost_regression", bootstrapType="MSV"), "not 'MSV'. Did you mean \"MVS\"?"),
    (
        set_for("random_forest_regression", maxFeatures="2"),
        "maxFeatures: must be auto, sqrt, log2 or a number above 0 and at",
    ),
    (
        set_for("random_forest_regression", maxFeatures="many"),
        "maxFeatures: must be auto, sqrt, log2 or a number above 0",
    ),
    (set_for("random_forest_regression", bootstrap="yes"), "bootstrap: must be true or false, not 'yes'"),
    (set_for("svm_regression", gamma="0"), "gamma: must be scale, auto or a number above 0, not '0'"),
    (set_for("svm_regression", degree=2), "degree: goes with kernel poly, not with rbf; leave it out"),
    (
        set_for("svm_regression", kernel="linear", gamma="1"),
        "gamma: goes with kernel rbf or poly or sigmoid, not with linear",
    ),
    (set_for("svm_binary_classification", epsilon="1"), "epsilon: goes with svm_regression"),
    (set_for("svm_regression", randomState=1), "randomState: nothing is left to chance in svm_regression"),
    (dataset(testSplit="1"), "testSplit: must be a number of at least 0 and below 1"),
    (dataset(evalSplit="0.5", testSplit="0.5"), "testSplit: 0.5 and evalSplit 0.5 leave no rows to train on"),
    (tabular(features=["a"], excludeFeatures=["b"]), "excludeFeatures: goes without features; write one of the two"),
    (tabular(excludeFeatures=["y"]), 'excludeFeatures: names the target "y", which is never a feature'),
    (tabular(preprocessing={"imputing": "mean"}), "imputing: must be one of Mean, Median,"),
    (tabular(preprocessing={"fillValue": "0"}), "fillValue: goes with imputing: Constant; write both or neither"),
    (tabular(preprocessing={"imputing": "Constant"}), "fillValue: goes with imputing: Constant; write both or neither"),
    (
        tabular(preprocessing={"columnTypes": {"a": "Date"}}),
        "columnTypes: must be a list of objects with name and type",
    ),
    (
        tabular(preprocessing={"columnTypes": [{"name": "a", "type": "Text"}]}),
        "columnTypes[0].type: must be one of Numeric",
    ),
    (tabular(preprocessing={"columnTypes": [{"name": "a", "type": "Date"}] * 2}), 'columnTypes: names "a" twice'),
    (of("svm_regression", preprocessing={"imputing": "Native"}), "imputing: svm cannot train on missing values"),
    (
        of("svm_regression", preprocessing={"encoding": "Native"}),
        "encoding: svm cannot train on categories as they are",
    ),
    (set_for("keras_regression", layers=[]), "layers: must be a list of layers, such as [{type: Dense, units: 64,"),
    (set_for("keras_regression", layers=[dense(4)] * 33), "layers: has 33 layers; write at most 32"),
    (
        set_for("keras_regression", layers=[{"type": "Dropout", "rate": "0.5"}]),
        "layers: begins with Dropout, which goes",
    ),
    (set_for("keras_regression", layers=[{"type": "dense"}]), "layers[0].type: must be one of Dense, Dropout"),
    (set_for("keras_regression", layers=[{"type": "Dense"}]), "layers[0].units: is missing"),
    (set_for("keras_regression", layers=[dense(0)]), "layers[0].units: must be a whole number of at least 1, not 0"),
    (set_for("keras_regression", layers=[dense(5000)]), "layers[0].units: must be at most 4096, not 5000"),
    (set_for("keras_regression", layers=[dense(4, "rely")]), "layers[0].activation: must be one of relu,"),
    (
        set_for("keras_regression", layers=[{**dense(4), "rate": "0.5"}]),
        "layers[0].rate: goes with type Dropout, not with",
    ),
    (set_for("keras_regression", layers=[{**dense(4), "name": "a"}]), "layers[0].name: is not known."),
    (set_for("keras_regression", layers=[dense(4), {"type": "Dropout"}]), "layers[1].rate: is missing"),
    *(
        (
            set_for("keras_regression", layers=[dense(4), {"type": "Dropout", "rate": rate}]),
            f"layers[1].rate: must be {what}",
        )
        for rate in ("0", "1", "1.5", "half")
        for what in [f"a number between 0 and 1, such as \"0.5\", not '{rate}'"]
    ),
    (
        set_for("keras_regression", layers=[dense(4), {"type": "Dropout", "rate": "0.5", "units": 4}]),
        "layers[1].units: goes with type Dense, not with Dropout; leave it out",
    ),
    (set_for("keras_regression", weightDecay="0.1"), "weightDecay: goes with optimizer adamw, not with adam; leave it"),
    (set_for("keras_regression", momentum="0.9"), "momentum: goes with optimizer sgd, not with adam; leave it out"),
    (set_for("keras_regression", nEstimators=5), "nEstimators: is a parameter of xgboost, lightgbm and random_forest"),
    (of("keras_regression", preprocessing={"imputing": "Native"}), "imputing: keras cannot train on missing values"),
    (of("xgboost_regression", export=["onnx"]), 'export: must be a list of ONNX, and holds "onnx"'),
    (of("xgboost_regression", export=["ONNX", "ONNX"]), "export: names ONNX twice; name each format once"),
    (of("xgboost_regression", export="ONNX"), "export: must be a list of texts"),
    (
        of("catboost_regression", export=["ONNX"], preprocessing={"encoding": "Native"}),
        "export: CatBoost writes no ONNX of a model with categories; write preprocessing.encoding: OneHot or Ordinal",
    ),
    (of("xgboost_regression", classWeight="Balanced"), "classWeight: goes with a classification"),
]


@pytest.mark.parametrize(("value", "sentence"), WRONG, ids=[sentence[:60] for _, sentence in WRONG])
def test_wrong_configuration(value, sentence):
    with pytest.raises(TrainingError) as caught:
        parse_config(value)
    assert caught.value.code == ExitCode.CONFIGURATION
    assert str(caught.value).startswith("trainer.tabular.")
    assert sentence in str(caught.value)


def crd_properties():
    """`spec.trainer.tabular` of the resource, read with the YAML package of the project's other half."""
    return from_node("""
        import { parse } from 'yaml';
        import { readFileSync } from 'node:fs';
        const text = readFileSync('crds/trainingjobs.yaml', 'utf8');
        const schema = parse(text).spec.versions[0].schema.openAPIV3Schema;
        console.log(JSON.stringify(schema.properties.spec.properties.trainer.properties.tabular.properties));
    """)


def test_operator_and_trainer_have_the_same_defaults_and_presets():
    defaults, presets = from_node("""
        import { tabularDefaults, tabularPresets } from './controller/api/tabulardefaults.ts';
        console.log(JSON.stringify([tabularDefaults, tabularPresets]));
    """)
    for name, family in FAMILIES.items():
        mine = {entry.name: default_of(entry) for entry in family.hyperparameters.known}
        assert {"preset": "Default", **mine} == {"preset": "Default", **defaults.pop(name)}
    assert defaults == {}
    assert presets == FAMILIES["lightgbm"].hyperparameters.presets


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_parameters_that_the_operator_fills_in_are_taken(model_type):
    family = next(family for name, family in FAMILIES.items() if model_type.startswith(f"{name}_"))
    filled = {entry.name: default_of(entry) for entry in family.hyperparameters.known if entry.default is not None}
    found, alone = (parse_config(set_for(model_type, **given)).trainer for given in (filled, {}))
    assert isinstance(found, TabularConfig)
    assert isinstance(alone, TabularConfig)
    assert found.parameters == alone.parameters


def chosen_for(entry: Hyperparameter) -> Any:
    """A value that is not the default."""
    if isinstance(entry, Integer):
        return (entry.default or entry.least) + 1
    if isinstance(entry, Choice):
        return next(word for word in entry.known if word != entry.default)
    if isinstance(entry, Flag):
        return not entry.default
    if isinstance(entry, Layers):
        return [dense(5), {"type": "Dropout", "rate": "0.25"}]
    return "0.515625"


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_every_parameter_of_a_family_lands_in_the_configuration(family):
    # Parameters that go with others.
    company = {
        "degree": {"kernel": "poly"},
        "coef0": {"kernel": "sigmoid"},
        "weightDecay": {"optimizer": "adamw"},
        "momentum": {"optimizer": "sgd"},
    }
    for entry in family.hyperparameters.known:
        value = chosen_for(entry)
        given = {entry.name: value, **company.get(entry.name, {})}
        task = "regression" if entry.name != "randomState" else "binary_classification"
        found = parse_config(tabular(modelType=f"{family.name}_{task}", parameters=given)).trainer
        assert isinstance(found, TabularConfig)
        got = found.parameters[python_name(entry.name)]
        if isinstance(entry, Layers):
            assert got == [{**dense(5), "kernel_initializer": "glorot_uniform"}, {"type": "Dropout", "rate": 0.25}]
            continue
        assert got == (float(value) if isinstance(entry, (Decimal, WordOrDecimal)) else value)
        for other in family.hyperparameters.known:
            if other.name not in given and other.default is not None:
                assert found.parameters[python_name(other.name)] in (other.default, default_number(other))


def default_number(entry: Hyperparameter) -> Any:
    if isinstance(entry, Layers):
        return [{python_name(name): value for name, value in layer.items()} for layer in entry.default]
    try:
        return float(entry.default or "")
    except ValueError:
        return entry.default


@pytest.mark.parametrize("preset", ["Large", "Fast", "HighAccuracy"])
def test_preset_is_other_defaults_and_one_that_is_given_comes_first(preset):
    given = {"preset": preset, "numLeaves": 5}
    found = parse_config(tabular(modelType="lightgbm_regression", parameters=given)).trainer
    assert isinstance(found, TabularConfig)
    wanted = {**FAMILIES["lightgbm"].hyperparameters.presets[preset], "numLeaves": 5}
    for name, value in wanted.items():
        assert found.parameters[python_name(name)] == float(value)


def test_resource_and_trainer_know_the_same_fields():
    properties = crd_properties()
    assert properties["modelType"]["enum"] == list(MODEL_TYPES)
    assert set(properties) == {
        "modelType",
        "dataset",
        "target",
        "features",
        "excludeFeatures",
        "preprocessing",
        "classWeight",
        "search",
        "export",
        "parameters",
    }
    assert set(properties["parameters"]["properties"]) == set(owners())
    # Which Secret has the key of a bucket is the operator's matter.
    dataset_fields = set(properties["dataset"]["properties"]) - {"secretRef"}
    assert dataset_fields == {"source", "revision", "sha256", "evalSplit", "testSplit", "folds", "seed"}
    preprocessing = properties["preprocessing"]["properties"]
    assert set(preprocessing) == {"imputing", "fillValue", "encoding", "scaling", "columnTypes"}
    assert preprocessing["imputing"]["enum"] == list(get_args(Imputing))
    assert preprocessing["encoding"]["enum"] == ["Auto", *get_args(Encoding)]
    assert preprocessing["scaling"]["enum"] == ["Auto", *get_args(Scaling)]
    assert preprocessing["columnTypes"]["items"]["properties"]["type"]["enum"] == list(KINDS)


def test_resource_says_the_families_and_defaults_of_each_parameter():
    stated = crd_properties()["parameters"]["properties"]
    for name, families in owners().items():
        if name == "preset":
            continue
        description = stated[name]["description"]
        listed = families[0] if len(families) == 1 else f"{', '.join(families[:-1])} and {families[-1]}"
        assert description.startswith(f"Of {listed}. ")
        by_default: dict[str, list[str]] = {}
        for family in families:
            (entry,) = (entry for entry in FAMILIES[family].hyperparameters.known if entry.name == name)
            by_default.setdefault(in_words(entry.default), []).append(family)
        several = ", ".join(f"{default} ({', '.join(those)})" for default, those in by_default.items())
        assert description.endswith(f"Default: {several if len(by_default) > 1 else next(iter(by_default))}.")


def test_page_states_defaults_presets_and_memory():
    page = (ROOT / "docs" / "tabular.md").read_text()
    for name, family in FAMILIES.items():
        said = ", ".join(f"{entry.name} {in_words(entry.default)}" for entry in family.hyperparameters.known)
        assert f"| {name} | {said} |" in page
        for preset, changed in family.hyperparameters.presets.items():
            if changed:
                listed = ", ".join(f"{parameter} {value}" for parameter, value in changed.items())
                assert any(row.startswith(f"| `{preset}` |") and f"| {listed} |" in row for row in page.splitlines())
        sized = [row for row in page.splitlines() if name in row and f"| {family.bytes_per_number} |" in row]
        assert len(sized) == 1


def default_of(entry: Hyperparameter) -> Any:
    """As JSON has it."""
    return list(entry.default) if isinstance(entry, Layers) else entry.default


def in_words(default: Any) -> str:
    if isinstance(default, tuple):
        return ", ".join(" ".join(str(value) for value in layer.values()) for layer in default)
    return "none" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def test_defaults_are_those_of_the_resource():
    properties = crd_properties()
    config = parse_config(tabular()).trainer
    assert isinstance(config, TabularConfig)
    data = properties["dataset"]["properties"]
    assert (config.eval_split, config.seed) == (float(data["evalSplit"]["default"]), data["seed"]["default"])
    assert config.test_split == float(data["testSplit"]["default"])
    assert config.class_weight == properties["classWeight"]["default"]
    preprocessing = properties["preprocessing"]["properties"]
    assert config.preprocessing.imputing == preprocessing["imputing"]["default"]
    assert {preprocessing[name]["default"] for name in ("encoding", "scaling")} == {"Auto"}


def test_names_of_columns_are_read_as_those_of_files_are():
    """Spaces around a column's name do not count, so the same name with them in the job was none of the file's."""
    kinds = {"columnTypes": [{"name": "age ", "type": "Categorical"}]}
    found = parse_config(tabular(target=" y", features=["age ", " b c "], preprocessing=kinds)).trainer
    assert isinstance(found, TabularConfig)
    assert (found.target, found.features, found.preprocessing.kinds) == ("y", ("age", "b c"), {"age": "Categorical"})
    with pytest.raises(TrainingError, match=r'features: names "age" twice'):
        parse_config(tabular(features=["age", "age "]))

"""Every field under `trainer.tabular` reaches the trainer and changes something that can be seen from outside."""

import csv
import json
from typing import Any

import pytest

from tests.finished import run
from tests.test_tabular_config import crd_properties
from trainingjob.exitcodes import TrainingError
from trainingjob.tabular.families.known import FAMILIES

# What a run leaves that a field can change: figures and predictions, notes and lists of columns.
SEEN = ("metrics.json", "predictions.csv", "schema.json", "pipeline.json")
STEPS = {
    "xgboost": "nEstimators",
    "lightgbm": "nEstimators",
    "catboost": "iterations",
    "random_forest": "nEstimators",
    "keras": "epochs",
}


def rows():
    """Two classes that the columns tell, with chance in it; gaps, texts and a column of codes."""
    state = 7
    for row in range(120):
        numbers = []
        for _ in range(6):
            state = (state * 1103515245 + 12345) % 2**31
            numbers.append(state / 2**31)
        a, b, c, d, e, f = numbers
        label = int(a + b * b + 0.6 * (c > 0.5) + 0.5 * f > 1.2)
        gap = "" if row % 9 == 0 else repr(b * 10)
        yield [repr(a), gap, ("x", "y", "z")[int(c * 3)], str(int(d * 4)), repr(e * 100), label, repr(a * 3 + b + f)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    for name, count in (("data.csv", 120), ("other.csv", 90)):
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["a", "gap", "text", "code", "scale", "label", "number"])
            writer.writerows(list(rows())[:count])
    return folder


def job(data, family: str, task: str, parameters: dict[str, Any], tabular: dict[str, Any]) -> dict[str, Any]:
    small = {STEPS[family]: 8} if family in STEPS else {}
    if family == "lightgbm":
        small["minDataInLeaf"] = 3
    # The other target would give the answer away.
    target, other = ("number", "label") if task == "regression" else ("label", "number")
    return {
        "modelType": f"{family}_{task}",
        "dataset": {"source": (data / "data.csv").as_uri()},
        "target": target,
        **({} if "features" in tabular else {"excludeFeatures": [other]}),
        **tabular,
        "parameters": {**small, **parameters},
    }


class Lab:
    """Runs jobs and remembers what they left, so that one that many fields are compared with is run once."""

    def __init__(self, folder):
        self._folder = folder
        self._known: dict[str, str] = {}

    def outcome(self, tabular: dict[str, Any]) -> str:
        key = json.dumps(tabular, sort_keys=True)
        if key not in self._known:
            folder = self._folder / str(len(self._known))
            folder.mkdir()
            config = {
                "trainer": {"tabular": tabular},
                "evaluation": {"everySteps": 4},
                "checkpoints": {},
                "storage": {"checkpoints": (folder / "c").as_uri(), "output": (folder / "output").as_uri()},
                "scoring": {"strategy": "SingleMetric", "metric": {"name": "eval/loss", "goal": "Minimize"}},
            }
            try:
                with pytest.MonkeyPatch.context() as patch:
                    # Plots are not among what is compared, and take longer than such a training.
                    patch.setattr("trainingjob.tabular.output.draw", lambda *_: ([], {}))
                    done = run(folder, config)
            except TrainingError as error:
                self._known[key] = str(error)
                return self._known[key]
            # Without the parameters as they were written: the effect is asked for, not an echo.
            metrics = {
                name: value for name, value in done.lasting_metrics.items() if name not in ("parameters", "seed")
            }
            texts = [(folder / "output" / name).read_text() for name in SEEN[1:]]
            self._known[key] = json.dumps([metrics, texts, [event["step"] for event in done.evaluations]])
        return self._known[key]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("lab"))


FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "modelType": ({}, {"modelType": "svm_binary_classification", "parameters": {}}),
    "dataset.source": ({}, {"dataset": {"source": "other.csv"}}),
    "dataset.sha256": ({}, {"dataset": {"sha256": "0" * 64}}),
    "dataset.evalSplit": ({}, {"dataset": {"evalSplit": "0.3"}}),
    "dataset.testSplit": ({}, {"dataset": {"testSplit": "0.3"}}),
    "dataset.folds": ({}, {"dataset": {"folds": 3}}),
    "dataset.seed": ({}, {"dataset": {"seed": 5}}),
    "target": ({}, {"target": "code", "modelType": "xgboost_multiclass_classification"}),
    "features": ({}, {"features": ["a", "gap"]}),
    "excludeFeatures": ({}, {"excludeFeatures": ["number", "a"]}),
    "preprocessing.imputing": ({}, {"preprocessing": {"imputing": "Median"}}),
    "preprocessing.fillValue": (
        {"preprocessing": {"imputing": "Constant", "fillValue": "0"}},
        {"preprocessing": {"imputing": "Constant", "fillValue": "99"}},
    ),
    "preprocessing.encoding": ({}, {"preprocessing": {"encoding": "Ordinal"}}),
    "preprocessing.scaling": ({}, {"preprocessing": {"scaling": "Robust"}}),
    "preprocessing.columnTypes": ({}, {"preprocessing": {"columnTypes": [{"name": "code", "type": "Categorical"}]}}),
    "classWeight": ({}, {"classWeight": "Balanced"}),
    "export": ({}, {"export": ["ONNX"]}),
    # A grid has what is named, the others the family's ranges besides.
    "search.sampler": (
        {"search": {"trials": 3, "space": [{"name": "maxDepth", "choices": [1, 2, 3]}]}},
        {"search": {"trials": 3, "space": [{"name": "maxDepth", "choices": [1, 2, 3]}], "sampler": "Grid"}},
    ),
    "search.trials": ({"search": {"trials": 3}}, {"search": {"trials": 4}}),
    # Trials of some hundredths of a second each.
    "search.timeoutSeconds": (
        {"search": {"trials": 1000, "timeoutSeconds": 1}},
        {"search": {"trials": 1000, "timeoutSeconds": 2}},
    ),
    "search.pruner": (
        {"search": {"trials": 8, "pruner": "None"}},
        {"search": {"trials": 8, "pruner": "SuccessiveHalving"}},
    ),
    "search.seed": ({"search": {"trials": 3}}, {"search": {"trials": 3, "seed": 5}}),
    "search.space": (
        {"search": {"trials": 3}},
        {"search": {"trials": 3, "space": [{"name": "maxDepth", "low": 1, "high": 2}]}},
    ),
}


def test_the_list_of_fields_is_whole():
    properties = crd_properties()
    leaves = []
    for name, schema in properties.items():
        leaves += [f"{name}.{inner}" for inner in schema["properties"]] if "properties" in schema else [name]
    # Which Secret has the key of a bucket is the operator's matter; test_tabular_hub shows what a revision does.
    assert {*FIELDS, "dataset.secretRef", "dataset.revision"} == {
        leaf for leaf in leaves if not leaf.startswith("parameters.")
    }


@pytest.mark.parametrize("field", FIELDS)
def test_field_changes_something(field, data, lab):
    outcomes = []
    for change in FIELDS[field]:
        change = {**change}
        tabular = job(data, "xgboost", "binary_classification", change.pop("parameters", {}), {})
        if "features" in change:
            del tabular["excludeFeatures"]
        given = change.pop("dataset", {})
        if "source" in given:
            given = {**given, "source": (data / given["source"]).as_uri()}
        tabular = {**tabular, **change, "dataset": {**tabular["dataset"], **given}}
        if tabular["modelType"].startswith("svm_"):
            tabular["parameters"] = {}
        outcomes.append(lab.outcome(tabular))
    assert outcomes[0] != outcomes[1]


# Values that are neither the default nor without effect on these rows, and what they need beside them.
CHANGES: dict[str, dict[str, Any]] = {
    "xgboost": {
        "nEstimators": 5,
        "maxDepth": 1,
        "learningRate": "0.5",
        "subsample": "0.4",
        "colsampleBytree": "0.4",
        "minChildWeight": "9",
        "gamma": "5",
        "regAlpha": "3",
        "regLambda": "9",
        "randomState": 5,
    },
    "lightgbm": {
        "preset": "HighAccuracy",
        "nEstimators": 5,
        "numLeaves": 2,
        "maxDepth": 1,
        "learningRate": "0.5",
        "featureFraction": "0.4",
        "baggingFraction": "0.4",
        "baggingFreq": 0,
        "minDataInLeaf": 30,
        "minGainToSplit": "3",
        "lambdaL1": "2",
        "lambdaL2": "9",
        "randomState": 5,
    },
    "catboost": {
        "iterations": 5,
        "depth": 2,
        "learningRate": "0.5",
        "l2LeafReg": "40",
        "bootstrapType": "Bernoulli",
        "subsample": "0.3",
        "rsm": "0.3",
        "borderCount": 2,
        "randomStrength": "9",
        "randomState": 5,
    },
    "random_forest": {
        "nEstimators": 5,
        "maxDepth": 1,
        "minSamplesSplit": 40,
        "minSamplesLeaf": 15,
        "maxFeatures": "1",
        "bootstrap": False,
        "randomState": 5,
    },
    "svm": {
        "c": "0.1",
        "kernel": "linear",
        "gamma": "2",
        "degree": 1,
        "coef0": "2",
        "epsilon": "0.9",
        "tol": "0.5",
        "randomState": 5,
    },
    "keras": {
        "layers": [{"type": "Dense", "units": 8, "activation": "relu"}],
        "optimizer": "sgd",
        "learningRate": "0.01",
        "learningRateSchedule": "CosineDecay",
        "weightDecay": "0.9",
        "momentum": "0.9",
        "batchSize": 16,
        "epochs": 5,
        "randomState": 5,
    },
}
BESIDE = {
    ("svm", "degree"): {"kernel": "poly"},
    ("svm", "coef0"): {"kernel": "poly"},
    ("keras", "weightDecay"): {"optimizer": "adamw"},
    ("keras", "momentum"): {"optimizer": "sgd"},
}
REGRESSION = {("svm", "epsilon")}


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, those in CHANGES.items() for name in those])
def test_parameter_changes_something(family, name, data, lab):
    task = "regression" if (family, name) in REGRESSION else "binary_classification"
    beside = BESIDE.get((family, name), {})
    before = lab.outcome(job(data, family, task, beside, {}))
    after = lab.outcome(job(data, family, task, {**beside, name: CHANGES[family][name]}, {}))
    assert before != after


LAYER = {"type": "Dense", "units": 6, "activation": "relu", "kernelInitializer": "glorot_uniform"}
LAYERS: dict[str, list[dict[str, Any]]] = {
    "type": [LAYER, {"type": "Dropout", "rate": "0.5"}],
    "units": [{**LAYER, "units": 7}],
    "activation": [{**LAYER, "activation": "tanh"}],
    "kernelInitializer": [{**LAYER, "kernelInitializer": "random_normal"}],
    "rate": [LAYER, {"type": "Dropout", "rate": "0.1"}],
}


def test_every_member_of_a_layer_changes_something(data, lab):
    items = crd_properties()["parameters"]["properties"]["layers"]["items"]
    assert set(LAYERS) == set(items["properties"])
    stacks = [[LAYER], *LAYERS.values()]
    outcomes = {lab.outcome(job(data, "keras", "binary_classification", {"layers": stack}, {})) for stack in stacks}
    assert len(outcomes) == len(stacks)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("optimizer", ("adam", "adamw", "nadam", "rmsprop", "sgd")),
        ("learningRateSchedule", ("Constant", "CosineDecay", "PolynomialDecay")),
    ],
)
def test_every_word_means_something_of_its_own(name, words, data, lab):
    known = {entry.name: entry for entry in FAMILIES["keras"].hyperparameters.known}
    assert getattr(known[name], "known") == words  # noqa: B009
    outcomes = {lab.outcome(job(data, "keras", "binary_classification", {name: word}, {})) for word in words}
    assert len(outcomes) == len(words)


def test_the_list_of_parameters_is_whole():
    for name, family in FAMILIES.items():
        known = {entry.name for entry in family.hyperparameters.known}
        assert set(CHANGES[name]) == known | ({"preset"} if family.hyperparameters.presets else set())

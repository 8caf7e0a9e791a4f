"""`trainer.tabular.search`: what is refused, what stands where a job says nothing, and that operator and trainer know the same."""

import json
from typing import Any

import pytest

from tests.node import from_node
from tests.test_config import tabular
from tests.test_tabular_config import crd_properties
from trainingjob.config import parse_config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.tabular.families.known import FAMILIES, MODEL_TYPES
from trainingjob.tabular.hyperparameters import Choice, Flag, Integer
from trainingjob.tabular.parameters import TabularConfig, parse_tabular
from trainingjob.tabular.search.spaces import SPACES


def search(model_type="xgboost_regression", parameters: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    config = tabular(modelType=model_type, parameters=parameters or {}, search=members)
    return {name: value for name, value in config.items() if name != "scoring"}


def space(*entries: dict[str, Any], model_type="xgboost_regression", parameters=None, **members: Any) -> dict[str, Any]:
    return search(model_type, parameters, space=list(entries), **members)


def parsed(config: dict[str, Any]) -> TabularConfig:
    trainer = parse_config(config).trainer
    assert isinstance(trainer, TabularConfig)
    return trainer


MULTI = {"strategy": "MultiMetric"}
WRONG = [
    (search(sampler="tpe"), "search.sampler: must be one of TPE, Random, Grid, not 'tpe'"),
    (search(trials=0), "search.trials: must be a whole number of at least 1, not 0"),
    (search(trials=1001), "search.trials: must be at most 1000"),
    (search(timeoutSeconds=0), "search.timeoutSeconds: must be a whole number of at least 1"),
    (search(pruner="Hyperband"), "search.pruner: must be one of Auto, None, Median, SuccessiveHalving"),
    (
        search("svm_regression", pruner="Median"),
        "search.pruner: svm is fitted at once, so there is nothing to end before",
    ),
    (search(seed=-1), "search.seed: must be a whole number of at least 0"),
    (search(trial=3), 'search.trial: is not known. Did you mean "trials"?'),
    (search(space={}), "search.space: must be a list of objects with name, and low and high or choices"),
    (space({"low": 1, "high": 2}), "search.space[0].name: must be a text that is not empty"),
    (space({"name": "numLeaves", "low": 2, "high": 9}), "space: numLeaves is a parameter of lightgbm, not of xgboost"),
    (space({"name": "maxDeph", "low": 2, "high": 9}), 'space: maxDeph is not known. Did you mean "maxDepth"?'),
    (
        space({"name": "randomState", "low": 2, "high": 9}),
        "space: randomState is a seed, and choosing one is choosing by luck",
    ),
    (
        space({"name": "preset", "choices": ["Fast", "Large"]}, model_type="lightgbm_regression"),
        "space: preset is a set of other defaults",
    ),
    (space(*[{"name": "maxDepth", "low": 2, "high": 9}] * 2), "space: names maxDepth twice; name each parameter once"),
    (
        space({"name": "maxDepth", "low": 2, "high": 9}, parameters={"maxDepth": 4}),
        "space: maxDepth is in trainer.tabular.parameters, too, which fixes it",
    ),
    (space({"name": "maxDepth"}), "space, maxDepth: write low and high, or choices"),
    (space({"name": "maxDepth", "low": 3}), "space, maxDepth: write low and high, or choices"),
    (space({"name": "maxDepth", "low": 3, "choices": [3, 4]}), "space, maxDepth: low goes without choices"),
    (space({"name": "maxDepth", "choices": [3]}), "space, maxDepth: choices must be a list of 2 to 64 values"),
    (space({"name": "maxDepth", "choices": [3, 4, 3]}), "space, maxDepth: choices name 3 twice"),
    (space({"name": "maxDepth", "low": 3, "high": 65}), "space, maxDepth, high.maxDepth: must be at most 64, not 65"),
    (
        space({"name": "maxDepth", "low": "3", "high": 5}),
        "maxDepth, low.maxDepth: must be a whole number of at least 1",
    ),
    (space({"name": "maxDepth", "low": 5, "high": 3}), "space, maxDepth: low 5 must be below high 3"),
    (space({"name": "maxDepth", "low": 3, "high": 3}), "a single value belongs in parameters"),
    (
        space({"name": "subsample", "low": "0.5", "high": "2"}),
        "subsample: must be a number above 0 and at most 1, not '2'",
    ),
    (space({"name": "gamma", "low": "0", "high": "5", "log": True}), "space, gamma: log needs a low above 0, not 0"),
    (
        space({"name": "gamma", "low": "1", "high": "5", "log": True, "step": "1"}),
        "space, gamma: step and log exclude each other",
    ),
    (
        space({"name": "maxDepth", "low": 3, "high": 9, "step": "1.5"}),
        "space, maxDepth.step: must be a whole number of at",
    ),
    (space({"name": "maxDepth", "low": 3, "high": 9, "by": 2}), "space, maxDepth.by: is not known"),
    (
        space({"name": "kernel", "low": 1, "high": 2}, model_type="svm_regression"),
        "space, kernel: takes words, not a range; write choices",
    ),
    (
        space({"name": "gamma", "low": "auto", "high": "2"}, model_type="svm_regression"),
        "space, gamma: low must be a number, not 'auto'; words are written as choices",
    ),
    (
        space({"name": "kernel", "choices": ["rbf", "gauss"]}, model_type="svm_regression"),
        "kernel, choices.kernel: must be one of rbf, linear, poly, sigmoid, not 'gauss'",
    ),
    (
        space({"name": "degree", "low": 2, "high": 4}, model_type="svm_regression"),
        "space: degree goes with kernel poly, not with rbf; leave it out",
    ),
    (
        space({"name": "epsilon", "low": "0.1", "high": "1"}, model_type="svm_binary_classification"),
        "space: epsilon goes with svm_regression; leave it out",
    ),
    (search(sampler="Grid"), "search.space: a grid has the values that you name; write the parameters to search"),
    (
        space({"name": "gamma", "low": "0", "high": "5"}, sampler="Grid"),
        "search.space: gamma has no step that a grid could take it in",
    ),
    (
        search("svm_binary_classification", {"c": "1", "gamma": "1"}),
        "search.space: nothing is left to search, as parameters fix all",
    ),
    (
        space({"name": "layers", "choices": [[], []]}, model_type="keras_regression"),
        "space: layers is a list, not a value; write it in parameters",
    ),
    (
        space({"name": "momentum", "low": "0.5", "high": "0.9"}, model_type="keras_regression"),
        "space: momentum goes with optimizer sgd, not with adam; leave it out",
    ),
    ({**search(), "scoring": MULTI}, "scoring.strategy: MultiMetric weighs an evaluation against the one before it"),
    (
        {**search(), "checkpoints": {"everySteps": 2}},
        "checkpoints.everySteps: a search stores a checkpoint after each trial",
    ),
    (
        {**search(), "checkpoints": {"everyMinutes": 2}},
        "checkpoints.everyMinutes: a search stores a checkpoint after each trial",
    ),
]


@pytest.mark.parametrize(("value", "sentence"), WRONG, ids=[sentence[:60] for _, sentence in WRONG])
def test_wrong_search(value, sentence):
    with pytest.raises(TrainingError) as caught:
        parse_config(value)
    assert caught.value.code == ExitCode.CONFIGURATION
    assert sentence in str(caught.value)


def test_what_stands_where_a_job_says_nothing():
    config = parse_config(search())
    found = parsed(search()).search
    assert found is not None
    assert (found.sampler, found.trials, found.timeout_seconds, found.pruner, found.seed) == (
        "TPE",
        20,
        None,
        "Median",
        42,
    )
    assert [one.name for one in found.space] == [entry["name"] for entry in SPACES["xgboost"]]
    # Trials are no sequence, so they are not ranked as steps of one run are.
    assert (config.scoring.metric, config.scoring.goal) == ("eval/loss", "Minimize")
    forest = parsed(search("random_forest_regression")).search
    assert forest is not None
    assert forest.pruner == "None"


def test_what_a_job_names_goes_before_the_ranges_of_its_family():
    config = parsed(space({"name": "maxDepth", "choices": [2, 9]}, parameters={"learningRate": "0.2"}))
    assert config.search is not None
    names = {one.name: one for one in config.search.space}
    assert names["maxDepth"].choices == (2, 9)
    assert "learningRate" not in names
    assert len(names) == len(SPACES["xgboost"]) - 1


def test_a_range_without_effect_is_left_out_and_one_with_some_effect_is_not():
    linear = parsed(search("svm_regression", {"kernel": "linear"})).search
    either = parsed(space({"name": "kernel", "choices": ["linear", "poly"]}, model_type="svm_regression")).search
    both = parsed(
        space(
            {"name": "kernel", "choices": ["linear", "poly"]},
            {"name": "degree", "low": 2, "high": 4},
            model_type="svm_binary_classification",
        )
    ).search
    assert linear is not None and either is not None and both is not None
    assert [one.name for one in linear.space] == ["c", "epsilon"]
    assert "gamma" in [one.name for one in either.space]
    assert "degree" in [one.name for one in both.space]


def test_a_truth_value_may_be_a_text():
    for choices in ([True, False], ["true", "false"]):
        found = parsed(space({"name": "bootstrap", "choices": choices}, model_type="random_forest_regression")).search
        assert found is not None
        assert next(one.choices for one in found.space if one.name == "bootstrap") == (True, False)


def test_steps_of_a_grid_are_what_their_texts_say():
    config = parsed(
        space({"name": "subsample", "low": "0.1", "high": "0.55", "step": "0.1"}, sampler="Grid", trials=100)
    )
    assert config.search is not None
    (one,) = config.search.space
    assert one.values() == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert (config.search.trials, config.search.wanted) == (5, 100)


def test_every_family_has_ranges_that_its_parameters_take():
    assert set(SPACES) == set(FAMILIES)
    for model_type in MODEL_TYPES:
        value = {"modelType": model_type, "dataset": {"source": "file:///d.csv"}, "target": "t", "search": {}}
        assert parse_tabular(value).search is not None


def normal(entry: dict[str, Any]) -> dict[str, Any]:
    return {"log": False, **entry}


@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("parameters", [{}, {"bootstrapType": "No"}, {"baggingFreq": 0}, {"kernel": "linear"}])
def test_the_operator_sends_the_same_space(model_type, parameters):
    family = next(name for name in FAMILIES if model_type.startswith(f"{name}_"))
    known = {entry.name for entry in FAMILIES[family].hyperparameters.known}
    if not set(parameters) <= known:
        parameters = {}
    job = {
        "modelType": model_type,
        "dataset": {"source": "file:///d.csv", "evalSplit": "0.2", "testSplit": "0", "seed": 1},
        "target": "t",
        "parameters": parameters,
        "search": {"sampler": "TPE", "trials": 3, "pruner": "Auto", "seed": 1},
    }
    sent = from_node(
        f"""
        import {{ resolve }} from './controller/api/resolve.ts';
        const spec = {{ trainer: {{ tabular: {json.dumps(job)} }}, compute: {{ candidates: [] }} }};
        console.log(JSON.stringify(resolve(spec).trainer.tabular));
    """
    )
    assert not {entry["name"] for entry in sent["search"]["space"]} & set(sent["parameters"])
    assert parse_tabular(sent).search == parse_tabular(job).search
    assert parse_tabular(sent).parameters == parse_tabular(job).parameters


def test_the_resource_knows_the_same_names_and_limits():
    schema = crd_properties()["search"]["properties"]
    (names,) = [schema["space"]["items"]["properties"]["name"]["enum"]]
    searched = {entry.name for family in FAMILIES.values() for entry in family.hyperparameters.known}
    assert set(names) == searched - {"randomState", "layers"}
    rules = str(schema["space"]["items"]["x-kubernetes-validations"])
    for family in FAMILIES.values():
        for entry in family.hyperparameters.known:
            if isinstance(entry, Integer) and entry.name != "randomState":
                assert f"'{entry.name}': " in rules
            if isinstance(entry, (Choice, Flag)):
                assert f"'{entry.name}': [" in rules
    assert schema["trials"]["maximum"] == 1000
    assert schema["trials"]["default"] == 20

"""What only LightGBM does: rounds that leave no tree, and a model that is a text of lines."""

import csv
from typing import Any

import lightgbm as lgb
import pytest

from tests.demojob import of_type
from tests.finished import run
from tests.interruption import interrupted, resumed
from tests.test_types import config_for
from trainingjob.cli import main
from trainingjob.exitcodes import ExitCode
from trainingjob.tabular.families import lightgbm as family

ROUNDS = 20


def boosted(folder, model_type="lightgbm_binary_classification", name="breast_cancer", **parameters):
    config = config_for(folder, model_type, name, evaluation={"everySteps": 5})
    config["trainer"]["tabular"]["parameters"] = {"nEstimators": ROUNDS, **parameters}
    return config


@pytest.mark.parametrize(
    ("model_type", "name", "gain"),
    [
        ("lightgbm_binary_classification", "breast_cancer", "60"),
        ("lightgbm_multiclass_classification", "wine", "30"),
        # Not even the first round.
        ("lightgbm_multiclass_classification", "wine", "100000"),
    ],
)
def test_rounds_without_a_tree_count_as_steps_when_a_run_goes_on(model_type, name, gain, tmp_path, monkeypatch):
    chance = {"featureFraction": "0.5", "baggingFraction": "0.5", "minGainToSplit": gain}
    tried = []
    train = lgb.train

    def counted(parameters, rows, *, num_boost_round, init_model):
        tried.append(num_boost_round)
        return train(parameters, rows, num_boost_round=num_boost_round, init_model=init_model)

    monkeypatch.setattr(lgb, "train", counted)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    done = run(whole, boosted(whole, model_type, name, **chance))
    # No round is tried again.
    assert sum(tried) == ROUNDS
    config = boosted(broken, model_type, name, **chance)
    before = interrupted(broken, config, 13, family="lightgbm")
    stored = lgb.Booster(model_file=str(broken / "checkpoints" / "checkpoint-10" / "model.txt"))
    assert stored.current_iteration() < 10
    again = resumed(before, config)
    (event,) = of_type(again.events, "resumed")
    assert (event["step"], event["rejected"]) == (10, [])
    assert again.lasting_metrics == done.lasting_metrics
    assert (broken / "output" / "predictions.csv").read_bytes() == (whole / "output" / "predictions.csv").read_bytes()


def test_model_with_more_rounds_than_its_step_is_not_gone_on_with(tmp_path):
    done = run(tmp_path, boosted(tmp_path))
    anything: Any = None
    with pytest.raises(ValueError, match="it has trees of 20 rounds and was stored at step 19"):
        family.begin(anything, done.folder / "checkpoints" / f"checkpoint-{ROUNDS}" / "model.txt", ROUNDS - 1)


@pytest.mark.parametrize("gap", ["\n", "\r\n", "\r", "\x1f"], ids=ascii)
def test_names_with_line_breaks_are_trained_on_and_predicted_for(gap, tmp_path):
    config = boosted(tmp_path, minDataInLeaf=1)
    names = (f"width{gap}mm", "colour", f"is{gap}good")
    with (tmp_path / "data.csv").open("w", newline="") as file:
        rows = [(row, f"red{gap}ish" if row % 3 else "blue", "no" if row % 2 else "yes") for row in range(60)]
        csv.writer(file).writerows([names, *rows])
    config["trainer"]["tabular"] |= {"target": names[2], "preprocessing": {"encoding": "OneHot"}}
    assert run(tmp_path, config).code == ExitCode.SUCCESS
    output, predictions = tmp_path / "output", tmp_path / "predictions.csv"
    arguments = ["--model", str(output), "--data", str(output / "heldout.csv"), "--output", str(predictions)]
    assert main(["predict", *arguments]) == 0
    assert predictions.read_bytes() == (output / "predictions.csv").read_bytes()

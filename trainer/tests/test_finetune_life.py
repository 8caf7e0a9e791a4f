"""What ends, follows and changes a fine-tuning run while it trains."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.finetunejob import finetune_config, lost_at, offered, run
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model", hidden=32)
    demo.write_rows(folder / "sft.jsonl", demo.conversations(60))
    return folder


@pytest.fixture
def config(made, tmp_path):
    def config(**members):
        return finetune_config(tmp_path / "run", made / "model", made / "sft.jsonl", **members)

    return config


def resumed(folder, config):
    """The next attempt after whatever is in the folder; its events alone."""
    before = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    (folder / "events.jsonl").unlink()
    return run(folder, {**config, "resume": offered(before)})


# Nothing is better by so much, so the run ends after as many evaluations as there is patience for, and one.
STOPPING = {"parameters": {"maxSteps": 40}, "earlyStopping": {"patience": 2, "minDelta": "1000"}}


@pytest.fixture(scope="module")
def stopped_early(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    return run(folder, finetune_config(folder, made / "model", made / "sft.jsonl", **STOPPING))


def test_run_ends_early_with_its_best_step_and_says_so(stopped_early):
    done = stopped_early
    assert done.code == ExitCode.SUCCESS
    assert list(done.losses()) == [4, 8, 12]
    (alert,) = done.of("alert")
    assert (alert["name"], alert["severity"]) == ("EarlyStopped", "Info")
    assert alert["message"].startswith("2 evaluations in a row lowered the score by no more than 1000;")
    assert done.of("result")[0]["bestStep"] == 12
    # The last one is there, whatever its score: it is where another attempt would go on.
    assert 12 in done.stored()


def test_run_that_is_lost_ends_early_where_a_whole_one_does(stopped_early, config, tmp_path):
    lost_at(10, tmp_path / "run", config(**STOPPING))
    done = resumed(tmp_path / "run", config(**STOPPING))
    assert done.of("resumed")[0]["step"] == 8
    assert done.losses() == {12: stopped_early.losses()[12]}
    ours, theirs = (load_file(each.folder / "output" / "model.safetensors") for each in (done, stopped_early))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_attempt_after_an_early_end_trains_no_further(stopped_early, config, tmp_path):
    run(tmp_path / "run", config(**STOPPING))
    done = resumed(tmp_path / "run", config(**STOPPING))
    assert (done.code, done.of("point"), done.of("evaluation")) == (ExitCode.SUCCESS, [], [])
    assert [alert["name"] for alert in done.of("alert")] == ["EarlyStopped"]
    assert done.of("result")[0]["bestStep"] == stopped_early.of("result")[0]["bestStep"]


def test_early_stop_by_a_metric_that_evaluations_do_not_have(config, tmp_path):
    rule = {"patience": 1, "metric": {"name": "eval/accuracy", "goal": "Maximize"}}
    with pytest.raises(TrainingError, match=r'earlyStopping\.metric\.name: "eval/accuracy" is no metric') as caught:
        run(tmp_path / "run", config(earlyStopping=rule))
    assert caught.value.code == ExitCode.CONFIGURATION
    assert "eval/perplexity" in str(caught.value)


def test_early_stop_by_a_metric_that_is_not_the_score(config, tmp_path):
    """Perplexity falls at every evaluation, so a run that waits for it to rise ends."""
    rule = {"patience": 1, "metric": {"name": "eval/perplexity", "goal": "Maximize"}}
    done = run(tmp_path / "run", config(earlyStopping=rule))
    assert list(done.losses()) == [4, 8]
    assert "1 evaluations in a row raised eval/perplexity by no more than 0;" in done.of("alert")[0]["message"]

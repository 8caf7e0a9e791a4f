"""What ends, follows and changes a fine-tuning run while it trains."""

import json
import struct
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboardX.proto.event_pb2 import Event
from transformers.integrations import TensorBoardCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from tests.finetunejob import finetune_config, lost_at, resumed, run, state_of
from trainingjob import keeper, reporting, stages
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo
from trainingjob.finetune.life import Life
from trainingjob.finetune.parameters import TRACKERS

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


# Nothing is better by so much, so the run ends after as many evaluations as there is patience for, and one.
STOPPING: dict[str, Any] = {"parameters": {"maxSteps": 40}, "earlyStopping": {"patience": 2, "minDelta": "1000"}}


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


@pytest.mark.parametrize(("seed", "same"), [(42, True), (43, False)])
def test_seed_of_the_job_decides_and_the_state_of_chance_before_it_does_not(
    stopped_early, config, tmp_path, seed, same
):
    torch.manual_seed(seed * 7)
    parameters = {**STOPPING["parameters"], "seed": seed}
    done = run(tmp_path / "run", config(**{**STOPPING, "parameters": parameters}))
    assert (done.losses() == stopped_early.losses()) is same


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


def test_attempt_after_a_stop_from_outside_trains_on(config, tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "should_stop", lambda: True)
    assert run(tmp_path / "run", config()).code == ExitCode.STOPPED
    assert state_of(tmp_path / "run", 1, "scorer.json")["ended"] is False
    monkeypatch.undo()
    assert list(resumed(tmp_path / "run", config()).losses()) == [4, 8, 12]


def test_long_evaluation_shows_that_it_moves(config, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "_EVERY_SECONDS", 0)
    done = run(tmp_path / "run", config(parameters={"maxSteps": 4}))
    told = [event.get("detail") for event in done.of("stage") if event["stage"] == "Evaluating"]
    rows = done.of("dataset")[0]["evalSamples"]
    assert told == [None, *(f"{batch} of {rows} batches" for batch in range(1, rows + 1))]


def test_checkpoint_by_minutes_needs_no_evaluation_and_none_follows_at_once(config, tmp_path, monkeypatch):
    class Clock:
        """A minute passes with each step; what is done in between takes no time."""

        def __init__(self):
            self.now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(keeper, "time", clock)
    end = Life.on_step_end

    def on_step_end(self, args, state, control, **more):
        self.uploads.wait()
        clock.now += 60
        end(self, args, state, control, **more)

    monkeypatch.setattr(Life, "on_step_end", on_step_end)
    rules = {"everySteps": 100, "everyMinutes": 3, "keepLast": 9}
    done = run(tmp_path / "run", config(evaluation={"everySteps": 100}, checkpoints=rules))
    # Asked first after step 1; the last step is saved whatever the minutes say.
    assert [event["step"] for event in done.of("checkpoint")] == [4, 7, 10, 12]
    assert list(done.losses()) == [12]


def scalars(folder, name):
    """What event files say of a metric, in order of the files: pairs of step and value."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:
            # A record is its length, a sum of that, itself, and a sum of itself.
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            found += [(event.step, value.simple_value) for value in event.summary.value if value.tag == name]
            content = content[16 + length :]
    return found


def test_output_has_what_tensorboard_shows(stopped_early):
    logged = {event["step"]: event["metrics"]["train/loss"] for event in stopped_early.of("point")}
    output = stopped_early.folder / "output"
    assert dict(scalars(output, "train/loss")) == pytest.approx(logged, rel=1e-6)
    assert dict(scalars(output, "eval/loss")) == pytest.approx(stopped_early.losses(), rel=1e-6)
    names = {file["path"] for file in json.loads((output / "manifest.json").read_text())["files"]}
    assert len([name for name in names if name.startswith("events.out.tfevents.")]) == 1


def test_curves_of_a_run_that_is_lost_are_whole(stopped_early, config, tmp_path):
    lost_at(10, tmp_path / "run", config(**STOPPING))
    done = resumed(tmp_path / "run", config(**STOPPING))
    for name in ("train/loss", "eval/loss"):
        assert scalars(done.folder / "output", name) == scalars(stopped_early.folder / "output", name)


def test_no_tracker_at_all(config, tmp_path):
    done = run(tmp_path / "run", config(parameters={"reportTo": [], "maxSteps": 4}))
    assert list((done.folder / "output").glob("events.*")) == []


def test_place_of_the_curves_is_where_the_environment_says(config, tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "curves"))
    done = run(tmp_path / "run", config(parameters={"maxSteps": 4}))
    assert [step for step, _ in scalars(tmp_path / "curves", "eval/loss")] == [4]
    assert list((done.folder / "output").glob("events.*")) == []


def test_trackers_are_those_of_transformers():
    assert sorted(TRACKERS) == sorted(INTEGRATION_TO_CALLBACK)


NEEDED = [
    ("mlflow", "mlflow"), ("wandb", "wandb"), ("comet_ml", "comet-ml"), ("azure_ml", "azureml-core"), ("dagshub", "dagshub"),
]  # fmt: skip


@pytest.mark.parametrize(("tracker", "package"), NEEDED, ids=[tracker for tracker, _ in NEEDED])
def test_tracker_that_is_not_in_the_image(config, tmp_path, tracker, package):
    with pytest.raises(TrainingError) as caught:
        run(tmp_path / "run", config(parameters={"reportTo": ["tensorboard", tracker]}))
    assert caught.value.code == ExitCode.CONFIGURATION
    assert f"reportTo: {tracker} needs the package {package}, which is not in this image; use" in str(caught.value)


def test_tracker_that_cannot_be_started(config, tmp_path):
    """Nobody listens there."""
    with pytest.raises(TrainingError, match=r"reportTo: kubeflow cannot be started: .*spec\.trainer\.env") as caught:
        run(tmp_path / "run", config(parameters={"reportTo": ["kubeflow"]}))
    assert caught.value.code == ExitCode.CONFIGURATION


def test_tracker_that_fails_later_does_not_end_the_training(config, tmp_path, monkeypatch):
    def away(*_, **__):
        raise ConnectionError("whoever keeps the curves is away")

    monkeypatch.setattr(TensorBoardCallback, "on_log", away)
    done = run(tmp_path / "run", config(parameters={"maxSteps": 4}))
    assert done.code == ExitCode.SUCCESS
    (alert,) = done.of("alert")
    assert (alert["name"], alert["severity"]) == ("TrackerFailed", "Warning")
    assert "tensorboard failed and gets nothing more of this attempt: ConnectionError('whoever" in alert["message"]

"""Several processes that train together, on processors: the same training as one, with one voice and one end."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from tests.demojob import read_events
from tests.finetunejob import Done, finetune_config, offered, run
from trainingjob.config import parse_config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo, processes
from trainingjob.finetune.begin import by_itself
from trainingjob.finetune.launcher import _cause
from trainingjob.finetune.parameters import FineTuneConfig
from trainingjob.finetune.processes import arranged, samples_of, wanted_processes

torch.set_num_threads(1)

TRAINER = Path(__file__).parents[1]
# Without chance in its layers: ranks draw their own.
LORA = {"r": 4, "alpha": 8, "dropout": "0"}
ASKED = {"sampleCount": 3, "maxNewTokens": 6}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model", hidden=32)
    # Whole batches for one and for two processes, so that none begins the data again to fill its last.
    demo.write_rows(folder / "sft.jsonl", demo.conversations(71))
    return folder


@pytest.fixture(scope="module")
def alone(made, tmp_path_factory):
    """What one process comes to with steps of four rows."""
    folder = tmp_path_factory.mktemp("alone")
    return run(folder, config_in(folder, made, predictions=ASKED))


def config_in(folder, made, *, rows=4, count=None, callback=None, **members):
    finetune: dict[str, Any] = {} if count is None else {"distribution": {"processes": count}}
    if callback is not None:
        finetune["callbacks"] = [{"entryPoint": f"tests.test_finetune_ranks:{callback}"}]
    parameters = {"perDeviceTrainBatchSize": rows, "loggingSteps": 1}
    return finetune_config(
        folder, made / "model", made / "sft.jsonl", lora=LORA, parameters=parameters, finetune=finetune, **members
    )


def parsed(raw):
    config = parse_config(raw)
    assert isinstance(config.trainer, FineTuneConfig)
    return config, config.trainer


def together(folder, config):
    """Trains as a pod does, in processes of their own; the exit code is negative for a signal."""
    folder.mkdir()
    events = folder / "events.jsonl"
    events.touch()
    (folder / "config.json").write_text(json.dumps(config))
    code = subprocess.run(
        [sys.executable, "-m", "trainingjob", "run", "--config", str(folder / "config.json")],
        env={**os.environ, "TRAININGJOB_EVENTS": str(events), "PYTHONPATH": str(TRAINER), "PIDS": str(folder / "pids")},
        timeout=300,
        check=False,
    ).returncode
    return Done(folder, code, read_events(events))


class Scarce(TrainerCallback):  # type: ignore[misc]
    """The second GPU holds no more than one row at once, from step 6 on."""

    def on_step_begin(self, args, state, control, **_):
        if args.process_index == 1 and args.per_device_train_batch_size > 1 and state.global_step == 6:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class Killing(TrainerCallback):  # type: ignore[misc]
    """The second process is killed in the middle of a step, as when the pod's memory runs out."""

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == 6:
            with Path(os.environ["PIDS"]).open("a") as pids:
                pids.write(f"{os.getpid()}\n")
            if args.process_index == 1:
                os.kill(os.getpid(), signal.SIGKILL)


class Stopping(TrainerCallback):  # type: ignore[misc]
    """The pod is asked to end in step 6; whoever started the ranks is who is told."""

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == 5 and args.process_index == 0:
            os.kill(os.getppid(), signal.SIGTERM)
            while not Path(os.environ["TRAININGJOB_STOP"]).exists():
                time.sleep(0.01)


class Halting(TrainerCallback):  # type: ignore[misc]
    """A stop is asked for in step 6. accelerate is told that processors are GPUs, on which alone it shares out a model."""

    def __init__(self):
        from accelerate import PartialState
        from accelerate.utils import DistributedType

        whole = PartialState.__init__

        def made(state, *given, **named):
            whole(state, *given, **named)
            if state.distributed_type == DistributedType.MULTI_CPU:
                state._shared_state["distributed_type"] = DistributedType.MULTI_GPU

        PartialState.__init__ = made

    def on_step_begin(self, args, state, control, model=None, **_):
        if state.global_step == 5 and args.process_index == 0:
            print("parts of", {type(each).__name__ for each in model.parameters()}, flush=True)
            Path(os.environ["TRAININGJOB_STOP"]).touch()


def in_parts(folder, config, count):
    """Ranks as torchrun starts them. The stop is in the folder when it was asked for."""
    folder.mkdir(exist_ok=True)
    events = folder / "events.jsonl"
    events.write_bytes(b"")
    (folder / "stop").unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    own = {"TRAININGJOB_EVENTS": str(events), "TRAININGJOB_STOP": str(folder / "stop"), "PYTHONPATH": str(TRAINER)}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "trainingjob", "run", "--config", str(folder / "config.json")],
        env={**os.environ, **own},
        timeout=300,
        check=False,
        capture_output=True,
        text=True,
    )
    return Done(folder, done.returncode, read_events(events)), done.stdout


def test_model_in_parts_learns_what_a_whole_one_learns_and_another_number_goes_on(made, tmp_path):
    def config(rows, **members):
        finetune = {
            "distribution": {"strategy": "FSDP"},
            "callbacks": [{"entryPoint": "tests.test_finetune_ranks:Halting"}],
        }
        parameters = {"perDeviceTrainBatchSize": rows, "loggingSteps": 1}
        return finetune_config(
            tmp_path / "run",
            made / "model",
            made / "sft.jsonl",
            lora=None,
            parameters=parameters,
            finetune=finetune,
            **members,
        )

    whole = finetune_config(
        tmp_path / "whole", made / "model", made / "sft.jsonl", lora=None, parameters={"loggingSteps": 1}
    )
    wanted = losses(run(tmp_path / "whole", whole))
    two, said = in_parts(tmp_path / "run", config(2), 2)
    assert "parts of {'DTensor'}" in said
    assert [event["step"] for event in two.of("checkpoint") if event["verified"]][-1] == 6
    assert losses(two) == pytest.approx({at: loss for at, loss in wanted.items() if at <= 6}, rel=1e-4)
    one, _said = in_parts(tmp_path / "run", config(4, resume=offered(two.events)), 1)
    assert one.code == ExitCode.SUCCESS
    assert one.of("resumed")[0]["step"] == 6
    assert losses(one) == pytest.approx({at: loss for at, loss in wanted.items() if at > 6}, rel=1e-4)
    assert not list((tmp_path / "run" / "output").glob("*.bin"))


def test_two_processes_train_as_one_and_go_on_together_with_half_the_batch(made, alone, tmp_path):
    config = config_in(tmp_path / "run", made, rows=2, count=2, callback="Scarce", predictions=ASKED)
    done = together(tmp_path / "run", config)
    assert done.code == ExitCode.SUCCESS
    (alert,) = done.of("alert")
    assert alert["message"] == (
        "memory did not suffice; going on with perDeviceTrainBatchSize 1 and gradientAccumulationSteps 2"
    )
    assert [event["step"] for event in done.of("resumed")] == [4]
    for totals in done.of("totals"):
        assert (totals["processes"], totals["samplesPerStep"], totals["totalSteps"]) == (2, 4, 12)
    # One voice: each step once in each try.
    assert [event["step"] for event in done.of("point")] == [*range(1, 7), *range(5, 13)]
    assert losses(done) == pytest.approx(losses(alone), rel=1e-4)
    assert done.losses() == pytest.approx(alone.losses(), rel=1e-4)
    assert done.of("result")[0]["bestStep"] == alone.of("result")[0]["bestStep"]
    # One of them answers, what one alone is asked as well.
    assert asked(done) == asked(alone)
    for evaluation in done.of("evaluation"):
        assert "predict/char_error_rate" in evaluation["metrics"]
    ours, theirs = (load_file(each.folder / "output" / "model.safetensors") for each in (done, alone))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in theirs)


def asked(done):
    return [(event["step"], event["sample"], event["prompt"]) for event in done.of("prediction")]


def losses(done):
    return {event["step"]: event["metrics"]["train/loss"] for event in done.of("point")}


def test_process_that_is_killed_ends_all_as_one_that_was_killed(made, tmp_path):
    done = together(tmp_path / "run", config_in(tmp_path / "run", made, rows=2, count=2, callback="Killing"))
    assert done.code == -signal.SIGKILL
    (failure,) = done.of("failure")
    assert failure["message"] == "rank 1 of 2 was ended by signal SIGKILL, as when the pod's memory runs out"
    assert done.stored() == [4]
    pids = (tmp_path / "run" / "pids").read_text().split()
    assert len(pids) == 2
    assert not any(Path("/proc", pid).exists() for pid in pids)


def test_two_processes_stop_with_their_step_saved_and_one_goes_on_with_the_same_steps(made, alone, tmp_path):
    done = together(tmp_path / "run", config_in(tmp_path / "run", made, rows=2, count=2, callback="Stopping"))
    assert done.code == ExitCode.STOPPED
    assert done.of("failure") == []
    (last,) = [event["step"] for event in done.of("checkpoint") if event["verified"]][-1:]
    assert last == 6
    resume = offered(done.events)
    config, finetune = parsed({**config_in(tmp_path / "run", made, rows=2), "resume": resume})
    finetune, count = arranged(config, finetune, 1)
    assert (count, finetune.parameters.gradient_accumulation_steps) == (1, 2)
    (tmp_path / "run" / "events.jsonl").unlink()
    parameters = {"perDeviceTrainBatchSize": 2, "gradientAccumulationSteps": 2, "loggingSteps": 1}
    again = finetune_config(
        tmp_path / "run", made / "model", made / "sft.jsonl", lora=LORA, parameters=parameters, resume=resume
    )
    more = run(tmp_path / "run", again)
    assert more.of("resumed")[0]["step"] == 6
    assert losses(more) == pytest.approx({at: loss for at, loss in losses(alone).items() if at > 6}, rel=1e-4)


ARRANGED = [
    # Rows of a step before, processes now; what each of how many takes.
    (16, 2, (4, 2, 2)), (16, 1, (4, 4, 1)), (4, 8, (1, 1, 4)), (6, 4, (2, 1, 3)), (7, 2, (1, 7, 1)), (32, 2, (4, 4, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("samples", "count", "wanted"), ARRANGED)
def test_steps_stay_what_they_were_whatever_the_number_of_processes(
    made, tmp_path, monkeypatch, samples, count, wanted
):
    monkeypatch.setattr(processes, "samples_per_step", lambda _: samples)
    config, finetune = parsed({**config_in(tmp_path, made), "resume": {"checkpoints": []}})
    finetune, now = arranged(config, finetune, count)
    parameters = finetune.parameters
    assert (parameters.per_device_train_batch_size, parameters.gradient_accumulation_steps, now) == wanted
    assert samples_of(parameters, now) == samples


def test_run_that_begins_is_arranged_as_the_job_says(made, tmp_path):
    config, finetune = parsed(config_in(tmp_path, made))
    assert arranged(config, finetune, 3) == (finetune, 3)


def test_one_process_for_each_gpu_unless_the_job_says_how_many(made, tmp_path):
    _config, finetune = parsed(config_in(tmp_path, made))
    assert [wanted_processes(finetune, gpus) for gpus in (0, 1, 4)] == [1, 1, 4]
    two = replace(finetune, distribution=replace(finetune.distribution, processes=2))
    assert [wanted_processes(two, gpus) for gpus in (0, 2, 4)] == [2, 2, 2]
    with pytest.raises(
        TrainingError, match=r"distribution\.processes: 2 are more than the pod's 1 GPUs; write at most 1"
    ):
        wanted_processes(two, 1)


def test_one_process_on_a_pod_with_several_gpus_is_started_as_one_of_many(made, tmp_path):
    """By itself it would see all of them, and TRL refuses to share a batch out."""
    _config, ddp = parsed(config_in(tmp_path, made))
    fsdp = replace(ddp, distribution=replace(ddp.distribution, strategy="FSDP"))
    assert [by_itself(1, gpus, ddp) for gpus in (0, 1, 2)] == [True, True, False]
    assert not by_itself(2, 2, ddp)
    assert not by_itself(1, 1, fsdp)


CAUSES = [
    ({0: (1, 10), 1: (4, 11)}, 1), ({0: (1, 10), 1: (-9, 11)}, 1), ({0: (1, 12), 1: (1, 11)}, 1), ({0: (6, 12), 1: (-9, 11)}, 0),
]  # fmt: skip


@pytest.mark.parametrize(("failures", "rank"), CAUSES)
def test_failure_of_its_own_goes_before_those_that_follow_from_it(failures, rank):
    told = {each: SimpleNamespace(exitcode=code, timestamp=at) for each, (code, at) in failures.items()}
    assert _cause(told) is told[rank]

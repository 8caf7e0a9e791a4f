"""What a run is trained on, by what is seen: no test here has a GPU, so what follows from one is a table."""

import os
import subprocess

import catboost as cb
import numpy as np
import pytest

from tests.demojob import demo_config, of_type, with_parameters
from tests.finished import run
from tests.test_types import config_for
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.tabular.devices import Build, Device, Seen, choose, gpus_here, held
from trainingjob.tabular.families import catboost, keras, lightgbm, xgboost
from trainingjob.tabular.families.catboost import added
from trainingjob.tabular.families.family import Problem, Sample, family_module
from trainingjob.tabular.families.known import FAMILIES
from trainingjob.tabular.hyperparameters import default_values

CUDA: frozenset[Build] = frozenset({"CUDA"})
OPENCL: frozenset[Build] = frozenset({"OpenCL"})
ONE, TWO = ("NVIDIA A40",), ("NVIDIA A40", "NVIDIA RTX A5000")


def chosen(family, gpus, builds, **parameters):
    defaults = default_values(FAMILIES[family].hyperparameters)
    return choose(family, {**defaults, **parameters}, defaults, Seen(gpus, builds))


@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_gpu_it_is_the_cpu(family):
    assert chosen(family, (), frozenset()) == Device(notes=("trained on the CPU: no NVIDIA GPU is here",))


ON_GPU = [
    ("xgboost", ONE, CUDA, "CUDA", (0,), ["trained on GPU 0 NVIDIA A40 (CUDA)"]),
    (
        "xgboost",
        TWO,
        CUDA,
        "CUDA",
        (0,),
        ["trained on GPU 0 NVIDIA A40 (CUDA)", "one of 2 GPUs is used: xgboost trains"],
    ),
    ("lightgbm", ONE, OPENCL, "OpenCL", (0,), ["trained on GPU 0 NVIDIA A40 (OpenCL)"]),
    ("lightgbm", ONE, CUDA | OPENCL, "CUDA", (0,), ["trained on GPU 0 NVIDIA A40 (CUDA)"]),
    ("keras", TWO, CUDA, "CUDA", (0,), ["trained on GPU 0 NVIDIA A40 (CUDA)", "one of 2 GPUs is used: keras trains"]),
    (
        "catboost",
        ONE,
        CUDA,
        "CUDA",
        (0,),
        ["trained on GPU 0 NVIDIA A40 (CUDA)", "rsm is 1: CatBoost leaves out columns"],
    ),
    (
        "catboost",
        TWO,
        CUDA,
        "CUDA",
        (0, 1),
        ["trained on GPU 0 NVIDIA A40, GPU 1 NVIDIA RTX A5000 (CUDA)", "rsm is 1: CatBoost leaves out columns"],
    ),
]


@pytest.mark.parametrize(("family", "gpus", "builds", "how", "used", "notes"), ON_GPU)
def test_gpu_where_the_library_can_use_it(family, gpus, builds, how, used, notes):
    device = chosen(family, gpus, builds)
    assert (device.how, device.gpus) == (how, used)
    assert len(device.notes) == len(notes)
    for note, begins in zip(device.notes, notes, strict=True):
        assert note.startswith(begins)
    assert device.changed == ({"rsm": 1.0} if family == "catboost" else {})


ON_CPU = [
    ("random_forest", {}, CUDA, "with 2 GPUs idle: scikit-learn trains random_forest on nothing else"),
    ("svm", {}, CUDA, "with 2 GPUs idle: scikit-learn trains svm on nothing else"),
    ("lightgbm", {}, frozenset(), "with 2 GPUs idle: lightgbm as it is installed can use none of them"),
    (
        "catboost",
        {"rsm": 0.5},
        CUDA,
        "with 2 GPUs idle: CatBoost leaves out columns on the CPU alone, and rsm is below 1",
    ),
    ("catboost", {"border_count": 1000}, CUDA, "with 2 GPUs idle: CatBoost has at most 255 borders there"),
]


@pytest.mark.parametrize(("family", "parameters", "builds", "reason"), ON_CPU)
def test_cpu_where_it_cannot_and_the_reason(family, parameters, builds, reason):
    device = chosen(family, TWO, builds, **parameters)
    assert (device.how, device.name, device.changed) == ("CPU", "CPU", {})
    assert device.notes[0].startswith(f"trained on the CPU, {reason}")


def test_search_over_what_gpus_have_not_stays_on_the_cpu():
    defaults = default_values(FAMILIES["catboost"].hyperparameters)
    for name, reason in (("rsm", "and the search tries rsm"), ("borderCount", "and borderCount is or may be higher")):
        device = choose("catboost", defaults, defaults, Seen(ONE, CUDA), frozenset({name, "depth"}))
        assert device.how == "CPU"
        assert reason in device.notes[0]
    assert choose("catboost", defaults, defaults, Seen(ONE, CUDA), frozenset({"depth"})).how == "CUDA"


def test_rsm_of_one_is_no_change():
    assert chosen("catboost", ONE, CUDA, rsm=1.0).changed == {}


def problem(family, device, task="regression"):
    rows = np.random.default_rng(0).random((40, 3))
    defaults = default_values(FAMILIES[family].hyperparameters)
    return Problem(task, 0, ("a", "b", "c"), (), defaults, Sample(rows, rows[:, 0], None), device)


def test_libraries_are_told_their_own_words():
    gpu, two = Device("CUDA", (1,)), Device("CUDA", (0, 1), changed={"rsm": 1.0})
    assert xgboost._parameters(problem("xgboost", gpu))["device"] == "cuda:1"
    assert xgboost._parameters(problem("xgboost", Device()))["device"] == "cpu"
    told = catboost._parameters(problem("catboost", two))
    assert (told["task_type"], told["devices"], told["rsm"]) == ("GPU", "0:1", 1.0)
    told = catboost._parameters(problem("catboost", Device()))
    assert (told["task_type"], told["rsm"], "devices" in told) == ("CPU", 0.8, False)
    for device, kind in ((gpu, "cuda"), (Device("OpenCL", (1,)), "gpu")):
        told = lightgbm._parameters(problem("lightgbm", device))
        assert (told["device_type"], told["gpu_device_id"], "deterministic" in told) == (kind, 1, False)
    assert lightgbm._parameters(problem("lightgbm", Device()))["device_type"] == "cpu"
    assert (keras._place(gpu), keras._place(Device())) == ("cuda:1", "cpu")


def test_libraries_know_no_gpu_where_there_is_none():
    for family in ("xgboost", "catboost", "keras", "random_forest", "svm"):
        assert family_module(family).builds() == frozenset()
    # OpenCL does not hide what CUDA hides; the build in the package index has no CUDA.
    assert family_module("lightgbm").builds() <= OPENCL


def test_catboost_trains_on_a_gpu_where_it_is_told_to():
    # That it fails for want of one shows that the words are those that it takes.
    told = catboost._parameters(problem("catboost", Device("CUDA", (0,), changed={"rsm": 1.0})))
    with pytest.raises(cb.CatBoostError, match=r"CUDA|cuda"):
        cb.CatBoost({**told, "iterations": 2}).fit(np.random.default_rng(0).random((40, 3)), np.arange(40.0))


@pytest.mark.parametrize("task", ["regression", "multiclass_classification"])
def test_segments_of_catboost_that_are_put_together_are_one_model(task):
    """As on GPUs, where it cannot go on from a model; here on the CPU."""
    random = np.random.default_rng(0)
    x = random.random((300, 4))
    y = x[:, 0] * 50 + 1000 + x[:, 1] ** 2 if task == "regression" else np.floor(x[:, 0] * 3)
    same = {"thread_count": 1, "allow_writing_files": False, "verbose": False, "depth": 3, "learning_rate": 0.3}
    loss = {"loss_function": "RMSE"} if task == "regression" else {"loss_function": "MultiClass", "classes_count": 3}
    rows = cb.Pool(x, label=y)
    first = added(None, rows, {**same, **loss, "iterations": 10})
    before = first.predict(x, prediction_type="RawFormulaVal")
    bias = {"boost_from_average": False} if task == "regression" else {}
    second = added(first, rows, {**same, **loss, **bias, "iterations": 10, "random_state": 5})
    assert second.tree_count_ == 20
    after = second.predict(x, prediction_type="RawFormulaVal")
    if task == "regression":
        assert np.mean((after - y) ** 2) < 0.5 * np.mean((before - y) ** 2)
    else:
        right = np.arange(300), y.astype(int)
        margin = [(raw - raw.mean(axis=1, keepdims=True))[right].mean() for raw in (before, after)]
        assert margin[1] > 1.2 * margin[0]


def nvidia_smi(folder, lines):
    folder.mkdir()
    tool = folder / "nvidia-smi"
    tool.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    tool.chmod(0o755)
    return str(folder)


LISTED = [f"GPU {place}: {name} (UUID: GPU-{place}a)" for place, name in enumerate(TWO)]


@pytest.mark.parametrize(
    ("visible", "found"),
    [(None, TWO), ("0,1", TWO), ("1", TWO[1:]), ("GPU-1a", TWO[1:]), ("", ()), ("-1", ()), ("0,7,1", TWO[:1])],
)
def test_gpus_are_those_that_are_listed_and_visible(tmp_path, visible, found):
    environment = {"PATH": nvidia_smi(tmp_path / "bin", LISTED)}
    assert gpus_here(environment if visible is None else {**environment, "CUDA_VISIBLE_DEVICES": visible}) == found


def test_no_tool_and_no_answer_are_no_gpus(tmp_path):
    assert gpus_here({"PATH": "/nonexistent"}) == ()
    failing = nvidia_smi(tmp_path / "bin", ["NVIDIA-SMI has failed because it could not communicate with the driver"])
    assert gpus_here({"PATH": failing}) == ()


def test_memory_of_a_gpu_that_does_not_suffice_is_told():
    gpu = Device("CUDA", (0,), "GPU 0 NVIDIA A40 (CUDA)")
    with pytest.raises(TrainingError, match=r"the memory of GPU 0 NVIDIA A40 .* did not suffice") as caught, held(gpu):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    assert caught.value.code == ExitCode.OUT_OF_MEMORY
    with pytest.raises(RuntimeError), held(gpu):
        raise RuntimeError("another fault")
    with pytest.raises(RuntimeError), held(Device()):
        raise RuntimeError("out of memory")


def test_run_tells_what_it_was_trained_on(tmp_path):
    done = run(tmp_path, with_parameters(demo_config(tmp_path), nEstimators=20))
    (totals,) = of_type(done.events, "totals")
    assert "trained on the CPU: no NVIDIA GPU is here" in totals["notes"]
    assert done.metrics["device"] == {"used": ["CPU"], "notes": ["trained on the CPU: no NVIDIA GPU is here"]}
    assert "<tr><td>trained on</td><td>CPU</td></tr>" in (tmp_path / "output" / "report.html").read_text()
    assert "Trained on CPU." in (tmp_path / "output" / "README.md").read_text()


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("random_forest", "scikit-learn trains random_forest on nothing else"),
        ("xgboost", "xgboost as it is installed can use none of them with this driver"),
        ("keras", "keras as it is installed can use none of them with this driver"),
    ],
)
def test_gpus_that_are_left_idle_are_told(family, reason, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("PATH", f"{nvidia_smi(tmp_path / 'bin', LISTED)}:{os.environ['PATH']}")
    assert subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout.count("GPU-") == 2
    monkeypatch.setattr(family_module(family), "builds", lambda: frozenset())
    done = run(tmp_path, config_for(tmp_path, f"{family}_regression", "diabetes"))
    (totals,) = of_type(done.events, "totals")
    wanted = f"trained on the CPU, with 2 GPUs idle: {reason}; CPU candidates do the same for less"
    assert wanted in totals["notes"]
    assert done.metrics["device"] == {"used": ["CPU"], "notes": [wanted]}


def test_models_of_folds_are_trained_where_the_run_is(tmp_path, monkeypatch):
    devices: list[Device] = []
    module = family_module("xgboost")
    begin = module.begin

    def noted(problem, model):
        devices.append(problem.device)
        return begin(problem, model)

    monkeypatch.setattr(module, "begin", noted)
    config = with_parameters(demo_config(tmp_path), nEstimators=3)
    config["trainer"]["tabular"]["dataset"]["folds"] = 2
    run(tmp_path, config)
    assert len(devices) == 3
    assert {device.notes for device in devices} == {("trained on the CPU: no NVIDIA GPU is here",)}

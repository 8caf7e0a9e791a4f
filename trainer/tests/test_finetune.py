"""Supervised fine-tuning of a tiny model: what is reported, what is stored, and that plain transformers can use it."""

import itertools
import json
import math
import shutil
from types import SimpleNamespace

import pytest
import torch

from tests.finetunejob import LORA, Done, finetune_config, run
from trainingjob import reporting
from trainingjob.config import parse_config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo
from trainingjob.finetune.dataset import prepare
from trainingjob.finetune.lora import TARGETS, adapter
from trainingjob.finetune.parameters import FineTuneConfig, Lora
from trainingjob.finetune.reports import gpu_memory, gpu_use
from trainingjob.storage.manifest import verify

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder with a model and conversations."""
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model")
    demo.write_rows(folder / "sft.jsonl", demo.conversations(60))
    return folder


@pytest.fixture
def config(made, tmp_path):
    def config(**members):
        return finetune_config(tmp_path / "run", made / "model", made / "sft.jsonl", **members)

    return config


@pytest.fixture(scope="module")
def done(made, tmp_path_factory) -> Done:
    folder = tmp_path_factory.mktemp("done")
    config = finetune_config(folder, made / "model", made / "sft.jsonl")
    (folder / "config.json").write_text(json.dumps(config))
    return run(folder, config)


def held_out_loss(folder, model):
    """Mean loss of the held-out rows, one by one, as plain transformers computes it."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    finetune = parse_config(json.loads((folder.parent / "config.json").read_text())).trainer
    assert isinstance(finetune, FineTuneConfig)
    rows = prepare(finetune, tokenizer).held_out
    losses = []
    with torch.inference_mode():
        for row in rows:
            ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
            losses.append(model.eval()(input_ids=ids, labels=labels).loss.item())
    return sum(losses) / len(losses)


def test_run_says_what_it_will_be_before_its_first_step(done):
    assert done.code == ExitCode.SUCCESS
    kinds = [event["type"] for event in done.events]
    assert kinds.index("dataset") < kinds.index("totals") < kinds.index("point")
    (dataset,), (totals,) = done.of("dataset"), done.of("totals")
    assert (dataset["samples"], dataset["trainSamples"], dataset["evalSamples"]) == (60, 54, 6)
    assert 0 < dataset["trainedTokens"] < dataset["tokens"]
    assert (totals["totalSteps"], totals["evaluationEverySteps"]) == (12, 4)
    assert any("tokens are trained on" in note for note in totals["notes"])
    stages = [event["stage"] for event in done.of("stage")]
    assert list(dict.fromkeys(stages)) == [
        "Downloading", "Tokenizing", "Loading", "Training", "Evaluating", "Checkpointing", "Merging", "Uploading",
    ]  # fmt: skip


def test_points_have_true_units(done):
    points = done.of("point")
    assert [event["step"] for event in points] == [1, 2, 4, 6, 8, 10, 12]
    first, second, *_ = (event["metrics"] for event in points)
    assert first["train/perplexity"] == pytest.approx(math.exp(first["train/loss"]))
    assert 5 < first["train/loss"] < 8
    # A run that begins knows from its first log what it did.
    assert first["train/tokens_per_second"] > first["train/samples_per_second"] > 0
    assert second["train/tokens_per_second"] > second["train/samples_per_second"] > 0
    assert second["train/learning_rate"] == pytest.approx(0.01, rel=0.1)
    assert "train/train_loss" not in points[-1]["metrics"]


def test_gpu_that_does_not_tell_its_use_costs_that_figure_alone(monkeypatch):
    class NotSupported(Exception):
        """As NVML's are: of no kind that others share."""

    def refuses(*_):
        raise NotSupported

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * 10**9, 8 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 10**9)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 2 * 10**9)
    monkeypatch.setattr(torch.cuda, "utilization", refuses)
    assert gpu_memory(None) == {"gpu/memory_allocated_bytes": 1e9, "gpu/memory_reserved_bytes": 2e9}
    assert gpu_use() == {"gpu/memory_used_ratio": 0.75}
    monkeypatch.setattr(torch.cuda, "utilization", lambda _: 60)
    assert gpu_use() == {"gpu/memory_used_ratio": 0.75, "gpu/utilization_ratio": 0.6}


def test_of_several_gpus_the_fullest_and_the_mean_use_are_told(monkeypatch):
    """One that idles is paid for, and the fullest is where memory runs out."""
    total = SimpleNamespace(total_memory=8 * 10**9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (6 * 10**9, 8 * 10**9))
    monkeypatch.setattr(torch.cuda, "device_memory_used", lambda _: 6 * 10**9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: total)
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: (90, 30)[device])
    assert gpu_use() == {"gpu/memory_used_ratio": 0.75, "gpu/utilization_ratio": 0.6}


def test_log_says_in_words_what_was_tracked(config, tmp_path, capfd):
    done = run(tmp_path / "run", config(parameters={"maxSteps": 4}))
    words = capfd.readouterr().out
    (loss,) = done.losses().values()
    assert "tracker tensorboard initialised" in words
    assert "best step tracker initialised: scored by MultiMetric" in words
    assert f"NEW BEST: step 4: eval loss {loss:.4f}, train loss " in words
    assert all(f"{name} " in words for name in ("base", "gap", "perplexity", "bonus"))


def test_every_evaluation_has_the_train_loss_of_its_own_step(done):
    for event in done.of("evaluation"):
        assert event["trainLossStep"] == event["step"]
        assert event["metrics"]["eval/perplexity"] == pytest.approx(math.exp(event["evalLoss"]))
    losses = done.losses()
    assert list(losses) == [4, 8, 12]
    assert losses[12] < losses[4]


def test_best_step_is_in_storage_and_has_the_loss_that_was_reported(done):
    from transformers import AutoModelForCausalLM

    (result,) = done.of("result")
    verify((done.folder / "output").as_uri(), result["output"]["manifestSHA256"])
    model = AutoModelForCausalLM.from_pretrained(done.folder / "output")
    assert not hasattr(model, "peft_config")
    assert held_out_loss(done.folder / "output", model) == pytest.approx(done.losses()[result["bestStep"]], abs=1e-3)
    metrics = json.loads((done.folder / "output" / "metrics.json").read_text())
    assert metrics["bestStep"] == result["bestStep"] in done.stored()
    card = (done.folder / "output" / "README.md").read_text()
    assert done.of("dataset")[0]["sha256"] in card
    assert f"weights of step {result['bestStep']}" in card


def test_output_is_a_model_that_talks(done):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(done.folder / "output")
    model = AutoModelForCausalLM.from_pretrained(done.folder / "output")
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**asked, max_new_tokens=4, do_sample=False)
    assert answer.shape[1] > asked["input_ids"].shape[1]


def test_adapter_alone_and_the_last_step(config, tmp_path):
    done = run(tmp_path / "run", config(output={"uri": "file:///x", "weights": "Last", "merge": False}))
    names = {path.name for path in (done.folder / "output").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "README.md"} <= names
    assert not {"model.safetensors", "optimizer.pt", "trainer_state.json", "rng_state.pth", "training_args.bin"} & names
    assert json.loads((done.folder / "output" / "metrics.json").read_text())["step"] == 12


def test_full_fine_tune_changes_all_weights(config, made, tmp_path):
    from transformers import AutoModelForCausalLM

    done = run(tmp_path / "run", config(lora=None))
    before = AutoModelForCausalLM.from_pretrained(made / "model").state_dict()
    after = AutoModelForCausalLM.from_pretrained(done.folder / "output").state_dict()
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert done.losses()[12] < done.losses()[4]


@pytest.mark.parametrize("how", ["NF4", "Int8"])
def test_quantised_base_is_merged_unquantised(config, tmp_path, how):
    done = run(tmp_path / "run", config(finetune={"quantization": how}, parameters={"maxSteps": 4}))
    stored = json.loads((done.folder / "output" / "config.json").read_text())
    assert "quantization_config" not in stored
    assert done.code == ExitCode.SUCCESS


def test_stop_saves_the_step_it_stops_at_and_publishes_nothing(config, tmp_path, monkeypatch):
    asked = itertools.count(1)
    monkeypatch.setattr(reporting, "should_stop", lambda: next(asked) == 6)
    done = run(tmp_path / "run", config())
    assert done.code == ExitCode.STOPPED
    assert done.of("checkpoint")[-1]["step"] == 6
    assert not (done.folder / "output").exists()


def test_checkpoint_on_request_between_evaluations(config, tmp_path, monkeypatch):
    wanted = tmp_path / "request"
    wanted.write_text("r1")
    monkeypatch.setenv("TRAININGJOB_CHECKPOINT", str(wanted))
    done = run(tmp_path / "run", config(parameters={"maxSteps": 4}))
    assert [event["step"] for event in done.of("checkpoint") if event["verified"]] == [1, 4]


def test_loss_that_is_not_finite_again_and_again_ends_the_run(made, tmp_path):
    from transformers import AutoModelForCausalLM

    shutil.copytree(made / "model", tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    model.model.norm.weight.data[0] = math.nan
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(
        TrainingError, match=r"not finite 3 times in a row, at last at step 4; .*learningRate"
    ) as caught:
        run(tmp_path / "run", finetune_config(tmp_path / "run", tmp_path / "model", made / "sft.jsonl"))
    assert caught.value.code == ExitCode.DIVERGED


FAULTS = [
    (
        {"lora": {**LORA, "targetModules": ["q_pro"]}},
        'targetModules: the model has no linear module "q_pro". Did you mean "q_proj"?',
    ),
    (
        {"parameters": {"perDeviceTrainBatchSize": 64}},
        "perDeviceTrainBatchSize: 64 is more than the 54 rows to train on",
    ),
    (
        {"finetune": {"model": {"source": "file:///nowhere"}}},
        "model.source: file:///nowhere is no folder with a config.json",
    ),
    ({"finetune": {"model": {"source": "file:///nowhere", "dtype": "bfloat16"}}}, "is no folder"),
    (
        {"scoring": {"strategy": "SingleMetric", "metric": {"name": "eval/accuracy", "goal": "Maximize"}}},
        'scoring.metric.name: "eval/accuracy" is no metric of these evaluations. Did you mean "eval/',
    ),
    ({"checkpoints": None}, "a fineTune job needs checkpoints with a uri"),
]


@pytest.mark.parametrize(("members", "sentence"), FAULTS, ids=[sentence[:40] for _, sentence in FAULTS])
def test_job_that_cannot_be_done(config, tmp_path, members, sentence):
    with pytest.raises(TrainingError) as caught:
        run(tmp_path / "run", config(**members))
    assert caught.value.code == ExitCode.CONFIGURATION
    assert sentence in str(caught.value)


TINY = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 32,
    "head_dim": 8, "pad_token_id": 0, "num_local_experts": 2,
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(TARGETS))
def test_modules_of_each_architecture_that_has_some_are_in_its_models(kind):
    from transformers import AutoConfig, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **TINY))
    assert set(adapter(Lora(r=4, alpha=8, dropout=0.0, target_modules=None), model).target_modules) == set(
        TARGETS[kind]
    )

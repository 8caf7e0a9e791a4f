"""The methods besides SFT: each learns from its own kind of rows, and leaves a model that plain transformers loads."""

import json

import pytest
import torch

from tests.finetunejob import LORA, finetune_config, run
from trainingjob.exitcodes import ExitCode
from trainingjob.finetune import demo
from trainingjob.finetune.defaults import METHODS

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model", hidden=32)
    for method, rows in demo.ROWS.items():
        demo.write_rows(folder / f"{method}.jsonl", rows(60))
    return folder


def job(folder, made, method, **members):
    parameters = members.pop("parameters", {})
    return finetune_config(
        folder, made / "model", made / f"{method}.jsonl", finetune={"method": method}, parameters=parameters, **members
    )


@pytest.mark.parametrize("lora", [LORA, None], ids=["LoRA", "full"])
@pytest.mark.parametrize("method", [method for method in METHODS if method != "RLHF"])
def test_method_learns_and_its_model_loads(made, tmp_path, method, lora):
    from transformers import AutoModelForCausalLM

    done = run(tmp_path, job(tmp_path, made, method, lora=lora, parameters={"learningRate": "3e-3"}))
    assert done.code == ExitCode.SUCCESS
    losses = done.losses()
    assert losses[12] < losses[4]
    (dataset,), (result,) = done.of("dataset"), done.of("result")
    assert (
        dataset["trainedTokens"] == dataset["tokens"]
        if method == "CPT"
        else dataset["trainedTokens"] < dataset["tokens"]
    )
    assert result["bestStep"] in done.stored()
    assert AutoModelForCausalLM.from_pretrained(done.folder / "output").config.model_type == "llama"


@pytest.mark.parametrize("method", ["DPO", "ORPO"])
def test_preference_methods_report_their_rewards(made, tmp_path, method):
    done = run(tmp_path, job(tmp_path, made, method, parameters={"maxSteps": 4}))
    metrics = done.of("evaluation")[-1]["metrics"]
    assert {"eval/rewards/accuracies", "eval/rewards/margins"} <= metrics.keys()
    assert 0 <= metrics["eval/rewards/accuracies"] <= 1


def test_packing_fills_sequences_and_loses_no_token(made, tmp_path):
    short = [{"text": sentence} for sentence in demo.sentences()[:80]]
    demo.write_rows(tmp_path / "CPT.jsonl", [{"text": "word " * 400}, *short])
    config = finetune_config(
        tmp_path / "run", made / "model", tmp_path / "CPT.jsonl", finetune={"method": "CPT"}, parameters={"maxSteps": 4}
    )
    done = run(tmp_path / "run", config)
    (dataset,) = done.of("dataset")
    assert "were cut" not in " ".join(done.of("totals")[0]["notes"])
    sequences = 4 * 4 / done.of("point")[-1]["epoch"]
    assert dataset["tokens"] / 128 <= sequences < 1.2 * dataset["tokens"] / 128 < dataset["trainSamples"]


def test_packed_sequences_do_not_see_each_other(made):
    """What stands before a text in its sequence changes nothing of its loss."""
    from transformers import AutoModelForCausalLM
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    model = AutoModelForCausalLM.from_pretrained(made / "model").eval()
    first, second = list(range(10, 30)), list(range(100, 120))
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(
        [{"input_ids": first}, {"input_ids": second}]
    )
    packed = {name: batch[name] for name in ("input_ids", "position_ids")}
    with torch.inference_mode():
        together = model(**packed, use_cache=False).logits[0, len(first) :]
        alone = model(input_ids=torch.tensor([second])).logits[0]
    assert torch.allclose(together, alone, atol=1e-5)


def test_beta_reaches_the_loss(made, tmp_path):
    losses = []
    for beta in ("0.01", "5"):
        folder = tmp_path / beta
        losses.append(run(folder, job(folder, made, "DPO", parameters={"maxSteps": 4, "beta": beta})).losses()[4])
    assert losses[0] != losses[1]
    assert json.loads((tmp_path / "5" / "output" / "metrics.json").read_text())["bestStep"] == 4

"""Learning from rewards: named functions, functions of the image, and reward models; never from nothing."""

import json
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from tests.finetunejob import finetune_config, run
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo
from trainingjob.finetune.dataset import prepare
from trainingjob.finetune.parameters import parse_finetune
from trainingjob.finetune.reward import parse_reward, reward_functions
from trainingjob.finetune.stream import Stream

torch.set_num_threads(1)

SHORT = {"functions": [{"name": "Length", "targetTokens": 4}]}
QUICK = {
    "gradientAccumulationSteps": 1,
    "perDeviceTrainBatchSize": 8,
    "maxCompletionLength": 12,
    "learningRate": "1e-2",
    "beta": "0",
}


def half(completions, **_):
    """A reward of this image."""
    return [0.5] * len(completions)


def solved(completions, solution, prompts, answer, **_):
    """A reward of rows' own members, which come as they are written."""
    assert all(one["is"] == len(prompt[-1]["content"]) for one, prompt in zip(solution, prompts, strict=True))
    assert set(answer) == {""}
    return [float(one["is"]) for one in solution]


async def awaited(completions, level, **_):
    return [0.25 if one is None else one for one in level]


class Fixed:
    async def __call__(self, completions, level, **_):
        return await awaited(completions, level)


fixed = Fixed()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model", hidden=32)
    demo.write_rows(folder / "prompts.jsonl", demo.prompts(60))
    return folder


def job(folder, made, reward, **members):
    parameters = {**QUICK, **members.pop("parameters", {})}
    finetune = {"method": "RLHF", "reward": reward}
    members = {"scoring": None, **members}
    return finetune_config(
        folder, made / "model", made / "prompts.jsonl", finetune=finetune, parameters=parameters, **members
    )


def test_reward_of_held_out_prompts_rises_and_is_the_score(made, tmp_path):
    config = job(tmp_path, made, SHORT, lora=None, parameters={"maxSteps": 40}, evaluation={"everySteps": 10})
    done = run(tmp_path, config)
    assert done.code == ExitCode.SUCCESS
    rewards = {event["step"]: event["metrics"]["eval/reward"] for event in done.of("evaluation")}
    assert rewards[40] > rewards[10]
    assert all(event["evalLoss"] is None for event in done.of("evaluation"))
    metrics = json.loads((tmp_path / "output" / "metrics.json").read_text())
    best = max(rewards, key=lambda step: rewards[step])
    assert (metrics["bestStep"], metrics["evaluations"][str(best)]["score"]) == (best, -rewards[best])
    assert "trainedTokens" not in done.of("dataset")[0]


def test_functions_add_up_by_their_weights(made, tmp_path):
    entry = {"name": "EntryPoint", "entryPoint": "tests.test_finetune_rlhf:half", "weight": "4"}
    done = run(tmp_path, job(tmp_path, made, {"functions": [entry, {"name": "JSON"}]}, parameters={"maxSteps": 4}))
    metrics = done.of("evaluation")[0]["metrics"]
    assert metrics["eval/reward"] == pytest.approx(4 * 0.5 + metrics["eval/rewards/json_validity/mean"])


def test_functions_of_the_image_get_the_other_members_of_rows_by_name(made, tmp_path):
    """In training, at evaluations and for predictions alike; of rows that have another kind of value, or none."""
    rows = [
        {"prompt": "x" * length, "solution": {"is": length, f"of {length}": None}, "text": "t", "chosen": "c"}
        | ({"level": length} if length % 2 else {})
        for length in range(1, 41)
    ]
    demo.write_rows(tmp_path / "prompts.jsonl", rows)
    functions = [
        {"name": "EntryPoint", "entryPoint": f"tests.test_finetune_rlhf:{name}"}
        for name in ("solved", "awaited", "fixed")
    ]
    config = job(tmp_path / "run", made, {"functions": functions}, parameters={"maxSteps": 4})
    config["trainer"]["fineTune"]["dataset"]["source"] = (tmp_path / "prompts.jsonl").as_uri()
    done = run(tmp_path / "run", {**config, "predictions": {"sampleCount": 3, "maxNewTokens": 2}})
    assert done.code == ExitCode.SUCCESS
    for event in done.of("prediction"):
        level = event["row"] if event["row"] % 2 else 0.25
        wanted = {"reward/solved": event["row"], "reward/awaited": level, "reward/Fixed": level}
        assert event["scores"] == {"reward": sum(wanted.values()), **wanted}
    metrics = done.of("evaluation")[0]["metrics"]
    assert metrics["eval/rewards/solved/mean"] >= 1
    assert metrics["eval/rewards/awaited/mean"] == metrics["eval/rewards/Fixed/mean"]


def test_rows_that_ask_the_same_are_on_one_side_whatever_rewards_get_besides(made, tmp_path):
    demo.write_rows(tmp_path / "prompts.jsonl", [{"prompt": str(n % 10), "id": n} for n in range(100)])
    value = job(tmp_path / "run", made, SHORT)["trainer"]["fineTune"]
    value["dataset"] = {"source": (tmp_path / "prompts.jsonl").as_uri(), "evalSplit": "0.2"}
    prepared = prepare(parse_finetune(value), AutoTokenizer.from_pretrained(made / "model"))
    assert not isinstance(prepared.train, Stream)
    trained, held_out = ({row["prompt"][0]["content"] for row in part} for part in (prepared.train, prepared.held_out))
    assert len(trained | held_out) == 10
    assert not trained & held_out


def test_reward_model_judges_and_one_without_a_head_is_refused(made, tmp_path):
    from transformers import AutoModelForSequenceClassification

    judge = AutoModelForSequenceClassification.from_pretrained(made / "model", num_labels=1)
    judge.save_pretrained(tmp_path / "judge")
    AutoTokenizer.from_pretrained(made / "model").save_pretrained(tmp_path / "judge")
    source = (tmp_path / "judge").as_uri()
    done = run(
        tmp_path / "good", job(tmp_path / "good", made, {"model": {"source": source}}, parameters={"maxSteps": 4})
    )
    assert done.code == ExitCode.SUCCESS
    headless = {"model": {"source": (made / "model").as_uri()}}
    with pytest.raises(TrainingError, match=r"is no reward model: it has no score\.weight") as caught:
        run(tmp_path / "bad", job(tmp_path / "bad", made, headless))
    assert caught.value.code == ExitCode.CONFIGURATION


def test_exact_match_needs_answers(made, tmp_path):
    demo.write_rows(tmp_path / "prompts.jsonl", [{"prompt": "a", "answer": "b"}, {"prompt": "c"}, {"prompt": "d"}])
    config = finetune_config(
        tmp_path,
        made / "model",
        tmp_path / "prompts.jsonl",
        finetune={"method": "RLHF", "reward": {"functions": [{"name": "ExactMatch"}]}},
    )
    with pytest.raises(
        TrainingError, match='row 2 has no "answer", which the reward ExactMatch compares with'
    ) as caught:
        run(tmp_path, config)
    assert caught.value.code == ExitCode.DATA


SCORES: list[tuple[dict[str, Any], list[str], list[float]]] = [
    ({"name": "Format", "pattern": "^<a>.*</a>$"}, ["<a>x</a>", "x"], [1, 0]),
    ({"name": "JSON"}, ['{"a": 1}', "{a: 1}"], [1, 0]),
    ({"name": "ExactMatch"}, [" four ", "five"], [1, 0]),
    ({"name": "Length", "targetTokens": 4}, ["", "x" * 100], [0.5, 0]),
]


@pytest.mark.parametrize(("function", "answers", "wanted"), SCORES, ids=[each[0]["name"] for each in SCORES])
def test_named_function(function, answers, wanted):
    made: Any
    (made,) = reward_functions(parse_reward({"functions": [function]}))
    given = {"answer": ["four"] * 2, "completion_ids": [[1, 2], list(range(9))]}
    assert made(completions=answers, **given) == wanted
    assert made(completions=[[{"role": "assistant", "content": each}] for each in answers], **given) == wanted


LEAST = {"method": "RLHF", "model": {"source": "file:///m"}, "dataset": {"source": "file:///d.jsonl"}}
WRONG = [
    (LEAST, "trainer.fineTune.reward: is needed by RLHF: name reward functions or a reward model"),
    ({**LEAST, "method": "SFT", "reward": SHORT}, "trainer.fineTune.reward: is for RLHF only; leave it out"),
    ({**LEAST, "reward": {}}, "trainer.fineTune.reward: write functions, a model, or both"),
    ({**LEAST, "reward": {"functions": [{"name": "Nice"}]}}, 'reward.functions[0].name: "Nice" is not known.'),
    ({**LEAST, "reward": {"functions": [{"name": "Format"}]}}, "functions[0].pattern: is needed by Format"),
    (
        {**LEAST, "reward": {"functions": [{"name": "JSON", "pattern": "x"}]}},
        "pattern: is for another function than JSON",
    ),
    ({**LEAST, "reward": {"functions": [{"name": "Format", "pattern": "("}]}}, "pattern: is no regular expression"),
    (
        {**LEAST, "reward": {"functions": [{"name": "JSON", "weight": "1e9"}]}},
        "weight: must be a number from -1000 to 1000",
    ),
    (
        {**LEAST, "reward": SHORT, "parameters": {"numGenerations": 3}},
        "numGenerations: 3 answers to each prompt must fit into perDeviceTrainBatchSize times gradientAccumulationSteps, 16",
    ),
]


@pytest.mark.parametrize(("value", "sentence"), WRONG, ids=[sentence[:60] for _, sentence in WRONG])
def test_wrong_member(value, sentence):
    with pytest.raises(TrainingError) as caught:
        parse_finetune(value)
    assert caught.value.code == ExitCode.CONFIGURATION
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere:f", "json:nothing", "json", "json:decoder"])
def test_entry_point_that_is_not_there(name):
    with pytest.raises(TrainingError, match="entryPoint"):
        reward_functions(parse_reward({"functions": [{"name": "EntryPoint", "entryPoint": name}]}))

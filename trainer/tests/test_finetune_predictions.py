"""Answers to held-out prompts at each evaluation: which are asked, how they are scored, and that training does not notice."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.finetunejob import finetune_config, lost_at, offered, run, state_of
from trainingjob.agent.reported import parse_event
from trainingjob.config import parse_config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo, life
from trainingjob.finetune.answers import Judge, text_scores
from trainingjob.finetune.predict import Predictor
from trainingjob.finetune.samples import choose
from trainingjob.predictions import Predictions, parse_predictions

torch.set_num_threads(1)

CRD = Path(__file__).parents[2] / "crds" / "trainingjobs.yaml"
ASKED: dict[str, Any] = {"sampleCount": 3, "maxNewTokens": 12}
TEXT_SCORES = {"exact_match", "char_error_rate", "length_ratio", "word_overlap"}
REWARD = {"functions": [{"name": "Length", "targetTokens": 4, "weight": "2"}, {"name": "JSON"}]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model", hidden=32)
    for method, rows in demo.ROWS.items():
        demo.write_rows(folder / f"{method}.jsonl", rows(60))
    return folder


def job(folder, made, method="SFT", data=None, **members):
    parameters = {"maxSteps": 4, "maxLength": 192, **members.pop("parameters", {})}
    finetune: dict[str, Any] = {"method": method}
    if method == "RLHF":
        finetune["reward"] = REWARD
        parameters |= {"gradientAccumulationSteps": 1, "maxCompletionLength": 8}
        members = {"scoring": None, **members}
    members = {"predictions": ASKED, "evaluation": {"everySteps": 2}, **members}
    data = data or made / f"{method}.jsonl"
    return finetune_config(folder, made / "model", data, finetune=finetune, parameters=parameters, **members)


def tokenizer_of(made):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(made / "model")


GOOD = [
    ({}, Predictions(5, 256, 0.0, 42, None)),
    (
        {"enabled": True, "sampleCount": 1, "maxNewTokens": 7, "temperature": "0.5", "seed": 0, "jsonSchema": "{}"},
        Predictions(1, 7, 0.5, 0, {}),
    ),
    (None, None),
    ({"enabled": False}, None),
]


@pytest.mark.parametrize(("value", "expected"), GOOD)
def test_settings(value, expected):
    assert parse_predictions(value) == expected


WRONG = [
    ([], "predictions: must be an object"),
    ({"samples": 3}, "predictions.samples: is not known. Did you mean"),
    ({"sampleCount": 0}, "predictions.sampleCount: must be a whole number of at least 1, not 0"),
    ({"sampleCount": 101}, "predictions.sampleCount: must be at most 100"),
    ({"maxNewTokens": "9"}, "predictions.maxNewTokens: must be a whole number of at least 1, not '9'"),
    ({"temperature": "-1"}, "predictions.temperature: must be a number from 0 to 10, not '-1'"),
    ({"seed": -1}, "predictions.seed: must be a whole number"),
    ({"jsonSchema": "{"}, "predictions.jsonSchema: is not JSON: "),
    ({"jsonSchema": "[]"}, "predictions.jsonSchema: must be an object, such as"),
    ({"enabled": "no"}, "predictions.enabled: must be true or false, not 'no'"),
]


@pytest.mark.parametrize(("value", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_wrong_settings(value, sentence):
    with pytest.raises(TrainingError) as caught:
        parse_predictions(value)
    assert caught.value.code == ExitCode.CONFIGURATION
    assert str(caught.value).startswith(sentence)


def test_only_a_language_model_has_predictions():
    with pytest.raises(TrainingError, match="predictions: are those of a language model"):
        parse_config({"trainer": {"custom": {"command": ["x"]}}, "predictions": {}})


SCORES = [
    ("sitting", "kitten", 0, 3 / 7, 6 / 7, 0),
    (" Yes, it is.\n", "yes, IT is.", 1, 0, 1, 1),
    ("a b c d", "a x", 0, 5 / 7, 3 / 7, 1 / 2),
    ("ja", "nein, niemals", 0, 1, 13 / 2, 0),
    ("x", "", 0, 1, 0, 0),
    ("", "", 1, 0, 0, 0),
    # Two words of the three different ones are expected, however often.
    ("the cat sat", "the the cat ran", 0, 6 / 11, 15 / 11, 2 / 3),
]


@pytest.mark.parametrize(("expected", "generated", *["exact", "errors", "length", "overlap"]), SCORES)
def test_scores_of_texts(expected, generated, exact, errors, length, overlap):
    found = text_scores(expected, generated)
    assert list(found.values()) == pytest.approx([exact, errors, length, overlap])


SCHEMA = {"type": "object", "required": ["answer"], "properties": {"answer": {"type": "integer"}}}
JUDGED = [
    (None, " [1, 2]\n", {"json_valid": 1}, None),
    (None, "[1, 2", {"json_valid": 0}, "not JSON: "),
    (None, "[NaN]", {"json_valid": 0}, "not JSON: NaN is no number of JSON"),
    (None, "[" * 100_000, {"json_valid": 0}, "not JSON: "),
    (SCHEMA, '{"answer": 3}', {"json_valid": 1, "json_schema_valid": 1}, None),
    (SCHEMA, '{"answer": "3"}', {"json_valid": 1, "json_schema_valid": 0}, "$.answer: '3' is not of type 'integer'"),
    (SCHEMA, "{}", {"json_valid": 1, "json_schema_valid": 0}, "$: 'answer' is a required property"),
    (SCHEMA, "answer: 3", {"json_valid": 0, "json_schema_valid": 0}, "not JSON: "),
]


@pytest.mark.parametrize(("schema", "text", "scores", "problem"), JUDGED)
def test_validity(schema, text, scores, problem):
    found, told = Judge(schema)(text)
    assert found == scores
    assert told is None if problem is None else (told or "").startswith(problem)


def test_schema_that_is_none():
    with pytest.raises(TrainingError, match=r"predictions\.jsonSchema: is no JSON schema: 'text' is not valid"):
        Judge({"type": "text"})


def test_nothing_that_a_schema_refers_to_is_fetched():
    judge = Judge({"$ref": "http://127.0.0.1:9/schema.json"})
    with pytest.raises(TrainingError, match=r"predictions\.jsonSchema: refers to what is not in it"):
        judge("{}")


def talk(*contents):
    roles = ["user", "assistant"]
    return {"messages": [{"role": roles[index % 2], "content": text} for index, text in enumerate(contents)]}


def test_prompt_is_what_stands_before_the_last_answer(made):
    tokenizer = tokenizer_of(made)
    (sample,) = choose([(3, talk("One", "Two", "Three", "Four"))], tokenizer, count=5, seed=1, most=100, continued=4)
    assert (sample.number, sample.expected) == (3, "Four")
    assert sample.text == "<|user|>One<|end|><|assistant|>Two<|end|><|user|>Three<|end|><|assistant|>"
    assert tokenizer.decode(sample.ids) == sample.text


def test_text_is_gone_on_with(made):
    tokenizer = tokenizer_of(made)
    text = " ".join(demo.sentences()[:3])
    ids = tokenizer(text)["input_ids"]
    (sample,) = choose([(1, {"text": text})], tokenizer, count=1, seed=1, most=500, continued=6)
    half = len(ids) // 2
    assert list(sample.ids) == ids[:half]
    assert sample.expected == tokenizer.decode(ids[half : half + 6])
    # Where the whole is too long, the answer has as much room as the prompt.
    (sample,) = choose([(1, {"text": text})], tokenizer, count=1, seed=1, most=20, continued=6)
    assert list(sample.ids) == ids[:10]


def test_what_has_no_prompt_that_fits_is_passed_over(made):
    tokenizer = tokenizer_of(made)
    begins = {"messages": [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Yes"}]}
    rows = [(1, begins), (2, talk("word " * 50, "x")), (3, talk("Short", "x")), (4, {"text": "a"})]
    found = choose(rows, tokenizer, count=5, seed=1, most=20, continued=4)
    assert [sample.number for sample in found] == [3]


def test_the_seed_alone_chooses(made):
    rows = [(number, talk(f"Question {number}", "x")) for number in range(30)]
    tokenizer = tokenizer_of(made)
    chosen = [
        [sample.number for sample in choose(rows, tokenizer, count=5, seed=seed, most=99, continued=4)]
        for seed in (1, 1, 2)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    """A run of SFT that shows its predictions."""
    folder = tmp_path_factory.mktemp("whole")
    return run(folder, job(folder, made, parameters={"gradientCheckpointing": True}))


def test_the_same_prompts_are_asked_at_every_evaluation_and_summed_up_in_its_metrics(made, whole):
    told = whole.of("prediction")
    assert [(event["step"], event["sample"]) for event in told] == [(step, n) for step in (2, 4) for n in range(3)]
    assert [event["prompt"] for event in told[:3]] == [event["prompt"] for event in told[3:]]
    data = [json.loads(line) for line in (made / "SFT.jsonl").read_text().splitlines()]
    for event in told:
        assert event["expected"] == data[event["row"] - 1]["messages"][-1]["content"]
        assert event["prompt"].endswith("<|assistant|>")
        assert event["generatedTokens"] <= 12
        assert event["finishReason"] == ("length" if event["generatedTokens"] == 12 else "stop")
        assert set(event["scores"]) == TEXT_SCORES
        assert parse_event(json.dumps(event).encode()) == event
    for evaluation in whole.of("evaluation"):
        scores = [event["scores"] for event in told if event["step"] == evaluation["step"]]
        for name in TEXT_SCORES:
            mean = sum(each[name] for each in scores) / 3
            assert evaluation["metrics"][f"predict/{name}"] == pytest.approx(mean)
        assert evaluation["evalLoss"] is not None
    assert "predictions at each evaluation: 3 prompts, at most 12 tokens each" in whole.of("totals")[0]["notes"]


def test_answers_are_those_of_plain_transformers(made, whole):
    from transformers import AutoModelForCausalLM

    best = whole.of("result")[0]["bestStep"]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(whole.folder / "output").eval(), tokenizer_of(made)
    for event in whole.of("prediction"):
        if event["step"] != best:
            continue
        ids = tokenizer(event["prompt"], return_tensors="pt")["input_ids"]
        found = model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        assert tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True) == event["generated"]


def test_how_far_it_is_is_told(whole):
    details = [event.get("detail") for event in whole.of("stage") if event["stage"] == "Evaluating"]
    # An evaluation has a batch of one row here.
    assert details == [None, *(f"predictions: {done} of 3" for done in range(3))] * 2


FIELDS: dict[str, Any] = {
    "enabled": False,
    "sampleCount": 2,
    "maxNewTokens": 3,
    "temperature": "1",
    "seed": 7,
    "jsonSchema": '{"type": "object"}',
}


def test_every_field_of_the_resource_is_listed():
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert sorted(spec["predictions"]["properties"]) == sorted(FIELDS)


def shown(done):
    return [{name: value for name, value in event.items() if name != "time"} for event in done.of("prediction")]


@pytest.mark.parametrize("field", FIELDS)
def test_field_changes_what_is_shown(made, whole, tmp_path, field):
    config = job(
        tmp_path, made, parameters={"gradientCheckpointing": True}, predictions={**ASKED, field: FIELDS[field]}
    )
    assert shown(run(tmp_path, config)) != shown(whole)


def test_what_is_shown_is_the_same_twice(made, whole, tmp_path):
    """Or the test above could not fail."""
    config = job(tmp_path, made, parameters={"gradientCheckpointing": True})
    assert shown(run(tmp_path, config)) == shown(whole)


@pytest.mark.parametrize("method", list(demo.ROWS))
def test_training_does_not_notice(made, tmp_path, method):
    """Even where answers are left to chance, as those that RLHF learns from are."""
    asked = {**ASKED, "temperature": "1", "seed": 7}
    done = [
        run(tmp_path / name, job(tmp_path / name, made, method, predictions=predictions))
        for name, predictions in (("with", asked), ("without", None))
    ]
    assert len(done[0].of("prediction")) == 6
    assert done[1].of("prediction") == []
    step = max(done[0].stored())
    assert step == max(done[1].stored())
    adapters = [
        load_file(each.folder / "checkpoints" / f"checkpoint-{step}" / "adapter_model.safetensors") for each in done
    ]
    for name, tensor in adapters[0].items():
        assert torch.equal(tensor, adapters[1][name]), name
    measured = [
        [
            {name: value for name, value in event["metrics"].items() if not name.startswith("predict/")}
            for event in each.of("evaluation")
        ]
        for each in done
    ]
    assert measured[0] == measured[1]


def test_continuations_of_texts(made, tmp_path):
    done = run(tmp_path, job(tmp_path, made, "CPT"))
    data = [json.loads(line)["text"] for line in (made / "CPT.jsonl").read_text().splitlines()]
    for event in done.of("prediction"):
        assert f"{event['prompt']}{event['expected']}" in data[event["row"] - 1]


@pytest.mark.parametrize("method", ["DPO", "ORPO"])
def test_answers_are_compared_with_the_preferred(made, tmp_path, method):
    done = run(tmp_path, job(tmp_path, made, method))
    data = [json.loads(line) for line in (made / f"{method}.jsonl").read_text().splitlines()]
    for event in done.of("prediction"):
        assert event["expected"] == data[event["row"] - 1]["chosen"]
        assert set(event["scores"]) == TEXT_SCORES


def test_rewarded_answers(made, tmp_path):
    rows = [{"prompt": row["prompt"]} for row in demo.prompts(60)]
    demo.write_rows(tmp_path / "prompts.jsonl", rows)
    done = run(tmp_path / "run", job(tmp_path / "run", made, "RLHF", data=tmp_path / "prompts.jsonl"))
    for event in done.of("prediction"):
        assert event["expected"] is None
        scores = event["scores"]
        assert scores["reward/length"] == pytest.approx(1 - min(1, abs(event["generatedTokens"] - 4) / 4))
        assert scores["reward"] == pytest.approx(2 * scores["reward/length"] + scores["reward/json_validity"])
        assert "exact_match" not in scores
    assert "predict/reward" in done.of("evaluation")[0]["metrics"]


def test_answer_model_rewards_as_in_training(made, tmp_path):
    from transformers import AutoModelForSequenceClassification

    judge = AutoModelForSequenceClassification.from_pretrained(made / "model", num_labels=1)
    judge.save_pretrained(tmp_path / "judge")
    tokenizer = tokenizer_of(made)
    tokenizer.save_pretrained(tmp_path / "judge")
    config = job(tmp_path / "run", made, "RLHF")
    config["trainer"]["fineTune"]["reward"] = {"model": {"source": (tmp_path / "judge").as_uri()}}
    done = run(tmp_path / "run", config)
    judge.eval()
    for event in done.of("prediction"):
        ids = tokenizer(f"{event['prompt']}{event['generated']}<|end|>", return_tensors="pt")["input_ids"]
        assert event["scores"]["reward"] == pytest.approx(judge(ids).logits.item(), abs=1e-4)


def test_json_is_looked_at_where_it_is_wanted(made, tmp_path):
    schema = json.dumps(SCHEMA)
    done = run(tmp_path, job(tmp_path, made, predictions={**ASKED, "jsonSchema": schema}))
    for event in done.of("prediction"):
        assert {"json_valid", "json_schema_valid"} <= set(event["scores"])
        assert event["scores"]["json_valid"] == 1 or event["problem"].startswith("not JSON: ")
    assert done.of("evaluation")[0]["metrics"]["predict/json_schema_valid"] == 0


def test_json_is_looked_at_where_the_data_answer_with_it(made, tmp_path):
    rows = [talk(f"Number {number}", json.dumps({"number": number})) for number in range(40)]
    demo.write_rows(tmp_path / "rows.jsonl", rows)
    done = run(tmp_path / "run", job(tmp_path / "run", made, data=tmp_path / "rows.jsonl"))
    assert "predict/json_valid" in done.of("evaluation")[0]["metrics"]
    assert "predict/json_schema_valid" not in done.of("evaluation")[0]["metrics"]


def test_best_step_by_a_prediction(made, tmp_path):
    metric = {"name": "predict/char_error_rate", "goal": "Minimize"}
    scoring = {"strategy": "SingleMetric", "metric": metric}
    config = job(tmp_path, made, scoring=scoring, earlyStopping={"patience": 9, "metric": metric})
    done = run(tmp_path, config)
    found = {event["step"]: event["metrics"]["predict/char_error_rate"] for event in done.of("evaluation")}
    assert done.of("result")[0]["bestStep"] == min(found, key=lambda step: (found[step], step))


def test_scoring_by_what_is_not_asked(made, tmp_path):
    scoring = {"strategy": "SingleMetric", "metric": {"name": "predict/exact_match", "goal": "Maximize"}}
    with pytest.raises(TrainingError, match=r'scoring\.metric\.name: "predict/exact_match" is no metric') as caught:
        run(tmp_path, job(tmp_path, made, predictions=None, scoring=scoring))
    assert caught.value.code == ExitCode.CONFIGURATION


def test_long_texts_are_cut_to_what_the_operator_takes(made, tmp_path):
    demo.write_rows(tmp_path / "rows.jsonl", [talk(f"Question {number}", "word " * 1200) for number in range(40)])
    done = run(tmp_path / "run", job(tmp_path / "run", made, data=tmp_path / "rows.jsonl"))
    for event in done.of("prediction"):
        assert len(event["expected"]) == 4096
        assert event["expected"].endswith("…")


def test_next_attempt_asks_the_same(made, whole, tmp_path):
    config = job(tmp_path / "run", made, parameters={"gradientCheckpointing": True})
    events = lost_at(3, tmp_path / "run", config)
    (tmp_path / "run" / "events.jsonl").unlink()
    done = run(tmp_path / "run", {**config, "resume": offered(events)})
    assert shown(done) == shown(whole)[3:]


def test_time_of_predictions_is_no_time_of_training(made, tmp_path, monkeypatch):
    """A clock that runs in predictions only."""

    class Clock:
        now = 0.0

        @classmethod
        def monotonic(cls):
            return cls.now

    predict = Predictor.predict

    def slow(self, step, model):
        Clock.now += 100
        return predict(self, step, model)

    monkeypatch.setattr(life, "time", Clock)
    monkeypatch.setattr(Predictor, "predict", slow)
    run(tmp_path, job(tmp_path, made))
    assert Clock.now == 200
    assert state_of(tmp_path, 4, "scorer.json")["trainingSeconds"] == 0


def test_memory_that_does_not_suffice_for_all_at_once(made, tmp_path, monkeypatch):
    answers = Predictor._answers
    asked = []

    def tight(self, model, samples):
        asked.append(len(samples))
        if len(samples) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return answers(self, model, samples)

    monkeypatch.setattr(Predictor, "_answers", tight)
    done = run(tmp_path, job(tmp_path, made, parameters={"perDeviceEvalBatchSize": 4}))
    assert asked == [3, 2, 1, 1, 1, 1, 1, 1]
    assert len(done.of("prediction")) == 6

"""Rows that are read as they come: the same in every attempt, none on both sides, and no more in memory than the buffer."""

import gzip
import itertools
import json

import pytest
import torch
from transformers import AutoTokenizer, TrainerCallback

from tests.finetunejob import finetune_config, lost_at, offered, run
from trainingjob import stages
from trainingjob.config import parse_config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo
from trainingjob.finetune.stream import Stream

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder / "model", hidden=32)
    demo.write_rows(folder / "sft.jsonl", demo.conversations(60))
    with gzip.open(folder / "numbers.jsonl.gz", "wt") as text:
        text.writelines(json.dumps({"text": f"number {number}"}) + "\n" for number in range(500))
    return folder


def stream_of(path, **more):
    settings = {
        "eval_split": 0.1, "seed": 1, "buffer": 50, "most_rows": None, "most_tokens": 64, "packed": False, "assistant_only": False, "method": "CPT"
    }  # fmt: skip
    return Stream(path=path, source="numbers", **{**settings, **more})


def test_each_pass_has_every_row_once_but_those_held_out(made):
    stream = stream_of(made / "numbers.jsonl.gz")
    tokenizer = AutoTokenizer.from_pretrained(made / "model")
    held = {row["text"] for _, row in stream.held_out()}
    assert 25 < len(held) < 80
    count = 500 - len(held)
    texts = [
        tokenizer.decode(row["input_ids"], skip_special_tokens=True)
        for row in itertools.islice(stream.dataset(tokenizer), 2 * count)
    ]
    first, second = texts[:count], texts[count:]
    assert len(set(first)) == count
    assert set(first) == set(second)
    assert not held & set(first)
    assert first != second
    # Drawn from a buffer of fifty.
    assert first != sorted(first, key=lambda text: int(text.split()[-1]))
    assert all(int(text.split()[-1]) <= place + 50 + 80 for place, text in enumerate(first))


def test_seed_decides_order_and_side(made):
    one, other = (stream_of(made / "numbers.jsonl.gz", seed=seed) for seed in (1, 2))
    assert one.held_out() == stream_of(made / "numbers.jsonl.gz").held_out() != other.held_out()


def test_no_more_rows_are_read_than_are_asked_for(made, tmp_path):
    """What is wrong further on is found there, with its number."""
    lines = [json.dumps({"text": f"row {number}"}) for number in range(100)]
    (tmp_path / "rows.jsonl").write_text("\n".join([*lines, "no JSON"]))
    stream = stream_of(tmp_path / "rows.jsonl", buffer=2)
    tokenizer = AutoTokenizer.from_pretrained(made / "model")
    assert len(list(itertools.islice(stream.dataset(tokenizer), 10))) == 10
    with pytest.raises(TrainingError, match="numbers line 101 is not JSON"):
        list(itertools.islice(stream.dataset(tokenizer), 200))


REFUSED = [
    ('[{"text": "a"}]', 0.1, "one JSON array, which cannot be read row by row"),
    ('{"text": "a"}', 1e-9, "no row is held out; raise"),
    ('{"text": "a"}', 1 - 1e-9, "every row is held out; lower"),
    ("", 0.1, "has no rows"),
]


@pytest.mark.parametrize(("content", "share", "sentence"), REFUSED, ids=[sentence for *_, sentence in REFUSED])
def test_file_that_is_no_stream(tmp_path, content, share, sentence):
    (tmp_path / "rows.json").write_text(content)
    with pytest.raises(TrainingError, match=sentence) as caught:
        stream_of(tmp_path / "rows.json", eval_split=share).held_out()
    assert caught.value.code == ExitCode.DATA


def config_in(folder, made, **parameters):
    config = finetune_config(folder, made / "model", made / "sft.jsonl", parameters=parameters)
    config["trainer"]["fineTune"]["dataset"] |= {"streaming": True, "shuffleBufferSize": 8}
    return config


@pytest.mark.parametrize("packing", [False, True])
def test_run_that_is_lost_gives_what_a_whole_one_gives(made, tmp_path, packing):
    whole = run(tmp_path / "whole", config_in(tmp_path / "whole", made, packing=packing))
    assert whole.code == ExitCode.SUCCESS
    (dataset,) = whole.of("dataset")
    assert (dataset["evalSamples"] > 0, "samples" in dataset, "trainSamples" in dataset) == (True, False, False)
    config = config_in(tmp_path / "run", made, packing=packing)
    before = lost_at(10, tmp_path / "run", config)
    (tmp_path / "run" / "events.jsonl").unlink()
    done = run(tmp_path / "run", {**config, "resume": offered(before)})
    assert done.of("resumed")[0]["step"] == 8
    assert done.losses() == {step: loss for step, loss in whole.losses().items() if step > 8}


class Careless(TrainerCallback):  # type: ignore[misc]
    """Wants a file of the user's that is not there."""

    def on_step_end(self, *_, **__):
        raise FileNotFoundError(2, "No such file or directory", "/thresholds.json")


def test_file_that_a_callback_misses_is_not_the_data(made, tmp_path):
    """It was said that the data are not on the volume, with a code that is not tried again."""
    config = config_in(tmp_path, made)
    config["trainer"]["fineTune"]["callbacks"] = [{"entryPoint": "tests.test_finetune_stream:Careless"}]
    with pytest.raises(FileNotFoundError, match=r"/thresholds\.json"):
        run(tmp_path, config)


def test_file_that_goes_while_it_is_read_is_a_fault_of_the_data(tmp_path):
    with pytest.raises(TrainingError, match=r"numbers cannot be read: .*No such file") as caught:
        list(stream_of(tmp_path / "gone.jsonl").rows())
    assert caught.value.code == ExitCode.DATA


def details(done, stage):
    return [event.get("detail") for event in done.of("stage") if event["stage"] == stage]


def test_attempt_that_reads_a_long_way_again_shows_that_it_moves(made, tmp_path, monkeypatch):
    """Steps tell of themselves; before the first of an attempt nothing but this keeps the operator from ending it."""
    monkeypatch.setattr(stages, "_EVERY_SECONDS", 0)
    config = config_in(tmp_path / "run", made)
    before = lost_at(10, tmp_path / "run", config)
    (tmp_path / "run" / "events.jsonl").unlink()
    done = run(tmp_path / "run", {**config, "resume": offered(before)})
    told = [detail for detail in details(done, "Training") if detail is not None]
    assert told == [f"{row} rows read before the first step" for row in range(1, len(told) + 1)]
    # Eight steps of four rows, what of the next step is there already, and what the buffer holds.
    assert len(told) > 8 * 4
    # With the first step it is over.
    after = done.events[done.events.index(next(event for event in done.events if event.get("detail") == told[-1])) :]
    assert [event.get("detail") for event in after if event["type"] == "stage"][:2] == [told[-1], None]
    assert any(detail is not None and detail.endswith("rows are held out") for detail in details(done, "Tokenizing"))


def test_what_needs_all_rows_or_an_end_is_refused(made, tmp_path):
    config = config_in(tmp_path, made)
    del config["trainer"]["fineTune"]["parameters"]["maxSteps"]
    with pytest.raises(TrainingError, match=r"dataset\.streaming: how many rows there are is not known"):
        parse_config(config)
    config = config_in(tmp_path, made)
    config["trainer"]["fineTune"]["method"] = "ORPO"
    with pytest.raises(TrainingError, match=r"dataset\.streaming: ORPO looks at all rows before it begins"):
        parse_config(config)
    config["trainer"]["fineTune"]["dataset"]["streaming"] = False
    with pytest.raises(TrainingError, match=r"shuffleBufferSize: is for rows that are read as they come"):
        parse_config(config)

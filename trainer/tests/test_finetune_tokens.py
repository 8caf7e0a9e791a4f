"""Which tokens are trained on: every turn of the assistant, by the template's own marks, and nothing else."""

import pytest

from tests import finetunejob  # noqa: F401
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.finetune import demo
from trainingjob.finetune.model import load_tokenizer
from trainingjob.finetune.parameters import ModelSource
from trainingjob.finetune.tokens import IGNORED, tokenize

TURNS = [
    ("system", "be short"),
    ("user", "one"),
    ("assistant", "first answer"),
    ("user", "two"),
    ("assistant", "second"),
]
ROW = {"messages": [{"role": role, "content": content} for role, content in TURNS]}
UNMARKED = demo.TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write_model(folder, hidden=16)
    return folder


def tokenizer(folder, template=None):
    source = ModelSource(
        source="file:///m", revision=None, dtype="auto", trust_remote_code=False, chat_template=template
    )
    return load_tokenizer(folder, source)


def trained(row, words):
    """The text of the tokens that are trained on, piece by piece."""
    pieces: list[str] = []
    piece: list[int] = []
    for token, label in zip(row["input_ids"], row["labels"], strict=True):
        if label == IGNORED:
            pieces += [words.decode(piece)] if piece else []
            piece = []
        else:
            assert label == token
            piece.append(token)
    return pieces + ([words.decode(piece)] if piece else [])


def done(rows, words, *, assistant_only=True, most=512):
    return tokenize(rows, words, source="f", assistant_only=assistant_only, most=most)


def test_every_turn_of_the_assistant_with_its_end(folder):
    words = tokenizer(folder)
    assert trained(done([ROW], words).rows[0], words) == ["first answer<|end|>", "second<|end|>"]


def test_all_turns_where_asked_for(folder):
    words = tokenizer(folder)
    (row,) = done([ROW], words, assistant_only=False).rows
    assert row["labels"] == row["input_ids"]


def test_template_without_marks_is_refused_not_guessed(folder):
    with pytest.raises(TrainingError, match=r"does not mark the assistant's turns; set .*chatTemplate") as caught:
        done([ROW], tokenizer(folder, UNMARKED))
    assert caught.value.code == ExitCode.CONFIGURATION
    assert done([ROW], tokenizer(folder, UNMARKED), assistant_only=False).rows


def test_known_models_template_gets_its_marked_twin(folder):
    from trl.chat_template_utils import qwen3_chat_template

    words = tokenizer(folder, qwen3_chat_template)
    pieces = trained(done([ROW], words).rows[0], words)
    assert [any(answer in piece for piece in pieces) for answer in ("first answer", "second", "one", "be short")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_no_template_at_all(folder):
    words = tokenizer(folder)
    words.chat_template = None
    with pytest.raises(TrainingError, match="has no chat template"):
        done([ROW], words)


def test_roles_that_the_template_refuses_name_the_row(folder):
    strict = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system prompt here') }}{% endif %}"
        + demo.TEMPLATE
    )
    row = {"messages": ROW["messages"][1:]}
    with pytest.raises(
        TrainingError, match=r"f row 2: the model's chat template refuses .*: no system prompt here"
    ) as caught:
        done([row, ROW], tokenizer(folder, strict))
    assert caught.value.code == ExitCode.DATA


def test_long_rows_are_cut_and_counted_and_empty_ones_left_out(folder):
    words = tokenizer(folder)
    long = {"messages": [{"role": "user", "content": "word " * 100}, {"role": "assistant", "content": "never seen"}]}
    found = done([ROW, long, ROW], words, most=40)
    assert (found.kept, found.shortened) == ([0, 2], 1)
    with pytest.raises(TrainingError, match="no row has anything to train on within 40 tokens; raise") as caught:
        done([long], words, most=40)
    assert caught.value.code == ExitCode.DATA


def test_plain_text_ends_with_the_end_token_and_is_trained_on_whole(folder):
    words = tokenizer(folder)
    (row,) = done([{"text": "some words"}], words).rows
    assert trained(row, words) == ["some words<|end|>"]

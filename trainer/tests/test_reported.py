"""What a trainer may report: anything else gets a sentence, and nothing of it can stop the agent."""

import json
from typing import Any

import pytest

from trainingjob.agent.reported import NotReportable, parse_event

SHA = "0" * 64
OUTPUT = {"uri": "file:///o", "manifestSHA256": SHA}

GOOD: list[dict[str, Any]] = [
    {"type": "stage", "stage": "Training"},
    {"type": "stage", "stage": "Loading", "detail": "", "time": "2026-01-01T00:00:00Z"},
    {"type": "totals", "totalSteps": 0, "notes": []},
    {"type": "dataset", "samples": 0, "trainSamples": 0, "evalSamples": 0, "sha256": SHA},
    {"type": "point", "step": 0, "metrics": {}},
    {"type": "point", "step": 2**53 - 1, "epoch": None, "metrics": {"a": None, "b": 1e308}, "nonFinite": ["a"]},
    {"type": "evaluation", "step": 1, "evalLoss": None, "trainLoss": 0, "trainLossStep": 0, "metrics": {}},
    {"type": "checkpoint", "step": 1, "uri": "file:///c", "manifestSHA256": SHA, "verified": False},
    {"type": "prediction", "step": 1, "sample": 0, "prompt": "", "expected": None, "generated": "", "scores": {}},
    {
        "type": "prediction",
        "step": 1,
        "sample": 4,
        "row": 9,
        "prompt": "x" * 4096,
        "expected": "y",
        "generated": "z",
        "promptTokens": 3,
        "generatedTokens": 1,
        "finishReason": "length",
        "scores": {"reward": None, "exact_match": 1},
        "problem": "not JSON",
    },
    {"type": "alert", "name": "Slow", "severity": "Info", "message": ""},
    {"type": "resumed", "step": 0, "uri": None, "rejected": [{"uri": "file:///c", "reason": "gone"}]},
    {"type": "resumed", "step": 7, "uri": "s3://b/c", "rejected": []},
    {"type": "log", "lines": ["x"] * 200},
    {"type": "result"},
    {"type": "result", "bestStep": 0, "output": OUTPUT, "metrics": {"a": 1.0}},
    {"type": "result", "output": {**OUTPUT, "huggingFaceRevision": "c0ffee", "huggingFaceURL": "https://h/a/b"}},
    {"type": "failure", "message": "x" * 10_000},
]


@pytest.mark.parametrize("event", GOOD, ids=lambda event: event["type"])
def test_event_that_is_taken(event):
    assert parse_event(json.dumps(event).encode()) == event


POINT = {"type": "point", "step": 1, "metrics": {}}
EVALUATION = {**GOOD[6]}
CHECKPOINT = {**GOOD[7]}
PREDICTION = {**GOOD[8]}

WRONG = [
    (b"", "what is no event"),
    (b"garbage", "what is no event: garbage"),
    (b"\xff\xfe\x00", "what is no event"),
    (b"[" * 100_000, "what is no event"),
    (b"null", "what is no event"),
    (b"[]", "what is no event"),
    (b'{"type": 1}', "what is no event"),
    (b'{"step": 1}', "what is no event"),
    ({"type": "final", "outcome": "Succeeded"}, 'of type "final", which a trainer cannot report'),
    ({"type": "started", "trainerVersion": "1"}, 'of type "started", which a trainer cannot report'),
    ({"type": "points"}, 'of type "points", which a trainer cannot report. Did you mean "point"?'),
    ({"type": "stage"}, "stage.stage: is missing; write one of Starting, Downloading"),
    ({"type": "stage", "stage": "Resting"}, "stage.stage: must be one of"),
    ({"type": "stage", "stage": "Holding"}, "stage.stage: must be one of"),
    ({"type": "stage", "stage": ["Training"]}, "stage.stage: must be one of"),
    ({**PREDICTION, "generated": "x" * 4097}, "prediction.generated: must be a text of at most 4096 characters"),
    ({**PREDICTION, "expected": 1}, "prediction.expected: must be a text of at most 4096 characters, or null"),
    ({**PREDICTION, "finishReason": "eos"}, "prediction.finishReason: must be one of stop, length"),
    ({"type": "point", "metrics": {}}, "point.step: is missing; write a whole number of at least 0"),
    ({**POINT, "step": "x"}, "point.step: must be a whole number of at least 0, not 'x'"),
    ({**POINT, "step": True}, "point.step: must be a whole number"),
    ({**POINT, "step": 1.5}, "point.step: must be a whole number"),
    ({**POINT, "step": -1}, "point.step: must be a whole number"),
    ({**POINT, "step": 2**53}, "point.step: must be a whole number"),
    ({**POINT, "metrics": []}, "point.metrics: must be an object of at most 64 numbers"),
    ({**POINT, "metrics": {"train loss": 1}}, "point.metrics: must be an object"),
    ({**POINT, "metrics": {"a": "1"}}, "point.metrics: must be an object"),
    ({**POINT, "metrics": {"a": True}}, "point.metrics: must be an object"),
    ({**POINT, "metrics": {"a": 10**400}}, "point.metrics: must be an object"),
    ({**POINT, "metrics": {f"m{i}": 1 for i in range(65)}}, "point.metrics: must be an object of at most 64"),
    ({**POINT, "nonFinite": "a"}, "point.nonFinite: must be a list of names"),
    ({**POINT, "nonFinite": [1]}, "point.nonFinite: must be a list of names"),
    ({**POINT, "epoch": "1"}, "point.epoch: must be a finite number or null"),
    ({**POINT, "loss": 1}, "point.loss: is not known"),
    ({**POINT, "metric": {}}, 'point.metric: is not known. Did you mean "metrics"?'),
    ({**POINT, "time": 5}, "point.time: must be a text"),
    ({**EVALUATION, "evalLoss": "1"}, "evaluation.evalLoss: must be a finite number or null"),
    ({**EVALUATION, "trainLossStep": -1}, "evaluation.trainLossStep: must be a whole number of at least 0 or null"),
    ({**CHECKPOINT, "manifestSHA256": "0" * 63}, "checkpoint.manifestSHA256: must be a SHA-256 sum"),
    ({**CHECKPOINT, "verified": 1}, "checkpoint.verified: must be true or false"),
    ({**CHECKPOINT, "uri": "u" * 2049}, "checkpoint.uri: must be a text of at most 2048"),
    ({"type": "alert", "name": "a", "severity": "Fatal", "message": ""}, "alert.severity: must be one of Info"),
    ({"type": "log", "lines": "x"}, "log.lines: must be a list of at most 200 texts"),
    ({"type": "log", "lines": ["x" * 1025]}, "log.lines: must be a list of at most 200 texts of at most 1024"),
    ({"type": "totals", "totalSteps": 1, "notes": [1]}, "totals.notes: must be a list"),
    ({"type": "dataset", "samples": 1}, "dataset.evalSamples: is missing"),
    ({"type": "resumed", "step": 1, "uri": None}, "resumed.rejected: is missing"),
    ({"type": "resumed", "step": 1, "uri": 7, "rejected": []}, "resumed.uri: must be a text of at most 2048"),
    ({"type": "resumed", "step": 1, "uri": None, "rejected": ["x"]}, "resumed.rejected: must be a list of at most 8"),
    ({"type": "resumed", "step": 1, "uri": None, "rejected": [{"uri": "u"}]}, "resumed.rejected: must be a list"),
    ({"type": "result", "bestStep": "x"}, "result.bestStep: must be a whole number"),
    ({"type": "result", "output": {"uri": "file:///o"}}, "result.output: must be an object of uri and manifestSHA256"),
    ({"type": "result", "output": {**OUTPUT, "huggingFaceRevision": 1}}, "result.output: must be an object of uri"),
    ({"type": "result", "outcome": "Succeeded"}, "result.outcome: is not known"),
]


@pytest.mark.parametrize(("event", "sentence"), WRONG, ids=[sentence[:50] for _, sentence in WRONG])
def test_event_that_is_not_taken(event, sentence):
    with pytest.raises(NotReportable) as caught:
        parse_event(event if isinstance(event, bytes) else json.dumps(event).encode())
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_numbers_that_json_does_not_know_become_null_and_are_named():
    line = (
        b'{"type": "evaluation", "step": 1, "epoch": NaN, "evalLoss": NaN, "trainLoss": Infinity, "trainLossStep": 1, '
    )
    line += b'"metrics": {"a": -Infinity, "b": 1e999, "c": 0}, "nonFinite": ["d"]}'
    assert parse_event(line) == {
        "type": "evaluation",
        "step": 1,
        "epoch": None,
        "evalLoss": None,
        "trainLoss": None,
        "trainLossStep": 1,
        "metrics": {"a": None, "b": None, "c": 0},
        "nonFinite": ["d", "epoch", "eval/loss", "train/loss", "a", "b"],
    }

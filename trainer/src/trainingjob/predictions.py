"""What a run shows of its model at each evaluation: answers to prompts of the rows that are held out."""

import json
from dataclasses import dataclass
from typing import Any

from trainingjob.fields import Fields, invalid

MOST_SAMPLES = 100
MOST_NEW_TOKENS = 4096


@dataclass(frozen=True)
class Predictions:
    """How many prompts are answered with how many tokens at most; `temperature` 0 takes the likeliest token each time. `seed`
    chooses the prompts, and the tokens where that is left to chance. `json_schema` is what answers are held against."""

    sample_count: int
    max_new_tokens: int
    temperature: float
    seed: int
    json_schema: Any


def parse_predictions(value: Any) -> Predictions | None:
    """Parses `predictions`; None where there are none. Raises TrainingError with exit code 2."""
    if value is None:
        return None
    fields = Fields(value, "predictions")
    enabled = fields.boolean("enabled", True)
    found = Predictions(
        sample_count=fields.integer("sampleCount", 5, least=1, most=MOST_SAMPLES),
        max_new_tokens=fields.integer("maxNewTokens", 256, least=1, most=MOST_NEW_TOKENS),
        temperature=fields.decimal("temperature", "0", lambda heat: 0 <= heat <= 10, "a number from 0 to 10"),
        seed=fields.integer("seed", 42, most=2**32 - 1),
        json_schema=_schema(fields.optional_text("jsonSchema")),
    )
    fields.close()
    return found if enabled else None


def _schema(text: str | None) -> Any:
    if text is None:
        return None
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise invalid(f"predictions.jsonSchema: is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise invalid('predictions.jsonSchema: must be an object, such as {"type": "object", "required": ["answer"]}')
    return schema

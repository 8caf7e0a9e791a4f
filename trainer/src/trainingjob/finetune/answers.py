"""How near an answer is to the one that was expected, and whether it is the JSON that is wanted."""

import json
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for
from rapidfuzz.distance import Levenshtein
from referencing import Registry
from referencing.exceptions import Unresolvable

from trainingjob.fields import invalid

_MOST_PROBLEM = 500


def text_scores(expected: str, generated: str) -> dict[str, float]:
    """Compares two texts without the space around them and without regard to capitals.

    Returns:
        exact_match: 1 or 0.
        char_error_rate: Edits of single characters that lead from one to the other, by the length of the expected text; at most 1.
        length_ratio: Characters, by those of the expected text.
        word_overlap: Share of the different words of the answer that are expected as well.
    """
    wanted, found = expected.strip().lower(), generated.strip().lower()
    length = max(1, len(wanted))
    words = set(found.split())
    return {
        "exact_match": float(found == wanted),
        "char_error_rate": min(1.0, Levenshtein.distance(wanted, found) / length),
        "length_ratio": len(found) / length,
        "word_overlap": len(words & set(wanted.split())) / max(1, len(words)),
    }


class Judge:
    """Whether answers are JSON, and as a schema wants them. What a schema refers to must be in itself: nothing is fetched."""

    def __init__(self, schema: Any) -> None:
        """Raises TrainingError with exit code 2 for what is no JSON schema."""
        self._validator = None
        if schema is None:
            return
        kind = validator_for(schema, default=Draft202012Validator)
        try:
            kind.check_schema(schema)
        except SchemaError as error:
            raise invalid(f"predictions.jsonSchema: is no JSON schema: {error.message[:_MOST_PROBLEM]}") from error
        self._validator = kind(schema, registry=Registry())

    def __call__(self, generated: str) -> tuple[dict[str, float], str | None]:
        """Scores of an answer, and what is wrong with it."""
        scores = {"json_valid": 0.0} | ({} if self._validator is None else {"json_schema_valid": 0.0})
        try:
            value = json.loads(generated, parse_constant=_no_json)
        except (ValueError, RecursionError) as error:
            return scores, f"not JSON: {error}"[:_MOST_PROBLEM]
        scores["json_valid"] = 1.0
        if self._validator is None:
            return scores, None
        try:
            found = best_match(self._validator.iter_errors(value))
        except Unresolvable as error:
            raise invalid(f"predictions.jsonSchema: refers to what is not in it: {error}") from error
        if found is None:
            return scores | {"json_schema_valid": 1.0}, None
        return scores, f"{found.json_path}: {found.message}"[:_MOST_PROBLEM]


def is_document(text: str | None) -> bool:
    """Whether it is an object or a list in JSON, as a text hardly ever is by accident."""
    try:
        return isinstance(json.loads(text or ""), (dict, list))
    except (ValueError, RecursionError):
        return False


def _no_json(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")

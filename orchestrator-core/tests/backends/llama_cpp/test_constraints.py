"""JSON schemas and grammars, held to by a model of random weights."""

from __future__ import annotations

import json

import pytest
from orchestrator_core.errors import InvalidRequest
from support.llama_backend import Make, ask

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "kind": {"enum": ["log", "briefing"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 999},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    },
    "required": ["name", "kind", "count", "tags"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("seed", range(6))
def test_a_schema_holds_even_a_model_of_random_weights(make: Make, seed: int) -> None:
    backend = make("random")
    text = ask(
        backend, "hi", greedy=False, temperature=1.0, seed=seed, json_schema=SCHEMA, max_new_tokens=400
    )
    found = json.loads(text)
    assert set(found) == set(SCHEMA["properties"])
    assert found["kind"] in ("log", "briefing")
    assert 0 <= found["count"] <= 999
    assert all(isinstance(tag, bool) for tag in found["tags"])


def test_a_grammar_is_followed_from_the_middle_of_an_answer(make: Make) -> None:
    backend = make("random")
    grammar = 'root ::= "(" [0-9] [0-9] [0-9] ")"'
    whole = ask(backend, "hi", grammar=grammar)
    assert len(whole) == 5
    for cut in range(1, 5):
        rest = ask(backend, "hi", continued=whole[:cut], grammar=grammar)
        assert len(whole[:cut] + rest) == 5
        assert rest.endswith(")")
    with pytest.raises(InvalidRequest, match="does not follow"):
        ask(backend, "hi", continued="[1", grammar=grammar)


@pytest.mark.parametrize(
    "constraint",
    [
        {"grammar": ""},
        {"grammar": 'start ::= "a"'},
        {"grammar": 'root ::= root "a"'},
        {"grammar": 'root ::= "a'},
        {"grammar": "root ::= missing"},
        {"json_schema": {"type": "nonsense"}},
        {"json_schema": {"$ref": "#/nowhere"}},
        {"json_schema": {"$ref": "https://example.org/schema.json"}},
        {"json_schema": {"properties": 3}},
        {"json_schema": {"enum": []}},
        {"grammar": "root ::= " + "(" * 50_000 + '"a"' + ")" * 50_000},
    ],
)
def test_a_constraint_that_cannot_be_used_is_the_callers_mistake(
    make: Make, constraint: dict[str, object]
) -> None:
    backend = make("random")
    pid_before = (backend.load(), backend.pid)[1]
    with pytest.raises(InvalidRequest):
        ask(backend, "hi", **constraint)
    assert backend.pid == pid_before

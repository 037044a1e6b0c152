"""What a grammar enforces of a schema, and what has to be checked afterwards."""

import pytest
from orchestrator_http.json_schemas import enforced_by_grammar


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "integer", "minimum": 1, "exclusiveMaximum": 9},
        {"type": "number", "minimum": 0},
        {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^a+$"},
        {"type": "array", "items": {"type": "integer", "maximum": 3}, "maxItems": 2},
        {"enum": [{"not": 1}, {"type": "number", "maximum": 2}], "const": {"if": 1}},
        {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "boolean"}}},
    ],
)
def test_enforced(schema):
    assert enforced_by_grammar(schema)
    assert enforced_by_grammar({"type": "object", "properties": {"deep": schema}})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "maximum": 1},
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "number", "minimum": 0.5},
        {"minimum": 3},
        {"type": ["integer", "null"], "minimum": 3},
        {"type": "integer", "multipleOf": 3},
        {"type": "array", "uniqueItems": True},
        {"not": {"type": "null"}},
        {"type": "object", "minProperties": 1},
    ],
)
def test_not_enforced(schema):
    assert not enforced_by_grammar(schema)
    assert not enforced_by_grammar({"anyOf": [{"type": "null"}, {"type": "array", "items": schema}]})

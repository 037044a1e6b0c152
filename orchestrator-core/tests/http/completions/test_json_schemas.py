"""Schemas and JSON texts that others sent."""

import json

import pytest
from orchestrator_core.errors import InvalidRequest
from orchestrator_http.completions.json_schemas import check_schema, is_valid, read_json


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"root": {"type": "string"}, "": {"type": "null"}}},
        {"properties": {"a": {"allOf": [{"$ref": "#/$defs/A"}]}}, "$defs": {"A": {"enum": ["x"]}}},
        {"properties": {"a": {"$anchor": "here", "type": "string"}, "b": {"$ref": "#here"}}},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"a": {}},
            "$ref": "#/definitions/a",
        },
        {"type": "string", "pattern": r"^(?=a)\S+(?:b|\d)$", "format": "unheard-of"},
        {"type": "integer", "maximum": 10**40},
    ],
)
def test_what_clients_send_is_taken(schema):
    check_schema(schema, "The fields", "response_format")


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "nonsense"}, "type"),
        ({"properties": {"a": {"type": 3}}}, "properties/a/type"),
        ({"properties": {"a": {"pattern": "("}}}, "pattern"),
        ({"$ref": "#/nowhere"}, "nowhere"),
        ({"$ref": "https://example.org/schema.json"}, "not in the schema itself"),
        ({"$ref": "file:///etc/passwd"}, "not in the schema itself"),
        ({"$dynamicRef": "other.json#a"}, "other.json"),
    ],
)
def test_a_schema_that_says_nothing_is_refused_with_its_place(schema, place):
    with pytest.raises(InvalidRequest, match=place) as refusal:
        check_schema(schema, "The fields", "response_format")
    assert refusal.value.param == "response_format"


def test_a_pattern_that_backtracks_ends():
    assert not is_valid("a" * 60 + "!", {"type": "string", "pattern": r"^(?=a)(a|a|aa)+$"})
    assert is_valid("b", {"type": "string", "pattern": r"^(?!a)\w$"})


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "NaN", "[1,]", "", "{'a': 1}"])
def test_what_is_not_json_is_a_value_error(text):
    with pytest.raises(ValueError, match="."):
        read_json(text)


def test_json_is_read_as_it_is():
    value = {"a": [1, 2.5, None, True, "ü🦜"], "": {"root": {}}}
    assert read_json(json.dumps(value)) == value

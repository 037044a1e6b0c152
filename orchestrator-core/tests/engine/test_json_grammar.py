"""Schemas as the engine follows them: which texts they let through, byte by byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import llama_cpp as lib
import pytest
from gguf_scripted import scripted_model
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_core.engine.constraint import Constraints
from orchestrator_core.engine.json_grammar import is_enforced, schema_grammar
from orchestrator_core.engine.tokenizer import Tokenizer
from orchestrator_core.errors import InvalidRequest
from orchestrator_core.generation import GenerationConfig

Accepts = Callable[[dict[str, Any], str], bool]


@pytest.fixture(scope="module")
def accepts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accepts]:
    """Whether a schema lets exactly this text through."""
    params = lib.llama_model_default_params()
    params.vocab_only = True
    path = scripted_model(tmp_path_factory.mktemp("vocabulary") / "bytes.gguf", "hello")
    model = lib.llama_model_load_from_file(str(path).encode(), params)
    vocab = lib.llama_model_get_vocab(model)
    tokenizer = Tokenizer(vocab)
    constraints = Constraints(vocab, tokenizer)

    def judge(schema: dict[str, Any], text: str) -> bool:
        constraint = constraints.of(GenerationConfig(json_schema=schema))
        assert constraint is not None
        for token in [*tokenizer.middle(text, parse_control=False), tokenizer.eos]:
            if not constraint.allows(token):
                return False
            constraint.accept(token)
        return True

    yield judge
    lib.llama_model_free(model)


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"type": "string"}, ['"a"', '"\\n"', '"日本😀"'], ['"\n"', '"\x00"', "a", '"\\x"']),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ['"ab"', '"日本語"'], ['"a"', '"abcd"']),
        (
            {"type": "integer", "minimum": 3, "maximum": 120},
            ["3", "120", "99"],
            ["2", "121", "-3", "03", "1e1"],
        ),
        ({"type": "integer", "exclusiveMinimum": 0}, ["1", "999999"], ["0", "-1"]),
        ({"type": "integer", "maximum": -5}, ["-5", "-60"], ["-4", "0", "5"]),
        ({"type": "number", "minimum": 0}, ["0", "3.5", "19"], ["-1"]),
        ({"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 2}, ["[null]"], ["[]"]),
        (
            {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
            ["[]", "[true,false]"],
            ["[true,true,true]"],
        ),
        ({"type": "array", "items": {"type": "boolean"}, "maxItems": 0}, ["[]"], ["[true]"]),
        ({"type": "array", "items": {}}, ['[1, "a", null]'], ["1"]),
        ({}, ["1", '"a"', "[]", "{}", "null"], ["nothing"]),
        ({"enum": ["a", 1, None]}, ['"a"', "1", "null"], ['"b"', "2"]),
        ({"type": "integer", "enum": [1, 5]}, ["5"], ["2"]),
        ({"anyOf": [{"type": "boolean"}, {"const": 7}]}, ["true", "7"], ["8"]),
        (
            {
                "type": "object",
                "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}, "any": {}},
                "required": ["n"],
                "additionalProperties": False,
            },
            ['{"n": 5}', '{"n": 5, "any": [1]}'],
            ["{}", '{"n": 10}', '{"n": 5, "x": 1}'],
        ),
        (
            {
                "properties": {"a": {"$ref": "#/x/item"}, "b": {"$ref": "#/y/item"}},
                "required": ["a", "b"],
                "x": {"item": {"type": "null"}},
                "y": {"item": {"type": "boolean"}},
            },
            ['{"a": null, "b": true}'],
            ['{"a": null, "b": null}'],
        ),
        ({"type": "array", "items": {"$ref": "#"}}, ["[]", "[[],[[]]]"], ["[1]"]),
        (
            {
                "$defs": {"tree": {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}}},
                "$ref": "#/$defs/tree",
            },
            ['{"next": {"next": {}}}'],
            ['{"next": 1}'],
        ),
        (
            {"type": "object", "properties": {"string": {"type": "string"}, "integer": {"type": "integer"}}},
            ['{"string": "a", "integer": 1}'],
            ['{"string": 1}'],
        ),
    ],
)
def test_what_the_schema_allows_is_let_through(
    accepts: Accepts, schema: dict[str, Any], valid: list[str], invalid: list[str]
) -> None:
    for text in valid:
        assert accepts(schema, text), text
    for text in invalid:
        assert not accepts(schema, text), text


def string(**keywords: Any) -> dict[str, Any]:
    return {"type": "string", **keywords}


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        (string(pattern=r"\S"), ['"a"', '" a "'], ['" "', '""']),
        (string(pattern="^[a-z]"), ['"ab1"'], ['"1ab"']),
        (string(pattern=r"^\d{3}$"), ['"123"'], ['"1234"', '"12a"']),
        (string(pattern=r"^\w+$"), ['"a_1"'], ['"a b"']),
        (string(pattern="^(?:ab)+$"), ['"abab"'], ['"aba"']),
        (string(pattern=r"^(?=a)"), ['"b"'], ["b"]),
        (string(pattern=r"\bword\b"), ['"sword"'], ["1"]),
        (
            {
                "type": "object",
                "properties": {"root": string(), "": {"type": "integer"}},
                "required": ["root", ""],
            },
            ['{"root": "a", "": 1}'],
            ['"a"', '{"root": 1, "": 1}', '{"root": "a", "": "b"}', '{"root": "a"}'],
        ),
        (
            {
                "type": "object",
                "properties": {"kind": {"allOf": [{"$ref": "#/$defs/Kind"}], "default": "a"}},
                "required": ["kind"],
                "$defs": {"Kind": {"enum": ["a", "b"], "title": "Kind", "type": "string"}},
            },
            ['{"kind": "a"}'],
            ['{"kind": "c"}', "{}"],
        ),
        ({"type": "number", "minimum": 0.5, "maximum": 2}, ["0.5", "1.25", "2"], ["0.4", "2.1", "-1"]),
        ({"type": "integer", "multipleOf": 5}, ["10", "0"], ["7"]),
        ({"type": "object", "minProperties": 1}, ['{"a": 1}'], ["{}"]),
        (string(format="ipv4"), ['"10.0.0.1"'], ['"10.0.0"']),
    ],
)
def test_keywords_that_clients_really_send(
    accepts: Accepts, schema: dict[str, Any], valid: list[str], invalid: list[str]
) -> None:
    test_what_the_schema_allows_is_let_through(accepts, schema, valid, invalid)


bound = st.one_of(st.integers(-30, 30), st.integers(-100_000, 100_000), st.integers(-(10**14), 10**14))


@settings(max_examples=60, deadline=None)
@given(bound, bound, st.lists(bound, max_size=4))
def test_an_integer_range_holds_its_numbers_and_no_others(
    accepts: Accepts, one: int, other: int, tried: list[int]
) -> None:
    low, high = sorted((one, other))
    schema = {"type": "integer", "minimum": low, "maximum": high}
    for number in [low - 1, low, low + 1, high - 1, high, high + 1, 0, (low + high) // 2, *tried]:
        assert accepts(schema, str(number)) is (low <= number <= high), (low, number, high)


names = st.sampled_from(["", "root", "name", "a b", "é", '"', "value", "char", "$ref", "string"])
leaves = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer", "minimum": -3},
        {"type": "null"},
        {"enum": ["x", 2]},
        {"type": "boolean"},
    ]
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.dictionaries(names, inner, max_size=3).map(
            lambda fields: {
                "type": "object",
                "properties": fields,
                "required": list(fields),
                "additionalProperties": False,
            }
        ),
        inner.map(lambda item: {"type": "array", "items": item, "maxItems": 2}),
        st.lists(inner, min_size=1, max_size=2).map(lambda some: {"anyOf": some}),
    ),
    max_leaves=6,
)
values = st.recursive(
    st.sampled_from([None, True, 2, -4, "x", "y"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(schemas, values)
def test_what_is_enforced_lets_nothing_through_that_is_not_valid(
    accepts: Accepts, schema: dict[str, Any], value: Any
) -> None:
    assert is_enforced(schema)
    if accepts(schema, json.dumps(value, ensure_ascii=False)):
        assert jsonschema_rs.is_valid(schema, value)


@pytest.mark.parametrize(
    "schema",
    [
        string(minLength=-1),
        string(minLength=5, maxLength=4),
        {"type": "array", "items": {"type": "null"}, "maxItems": "many"},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.org/schema.json"},
        {"enum": []},
        {"type": "nonsense"},
    ],
)
def test_a_schema_that_nothing_can_satisfy_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="."):
        schema_grammar(schema)
    assert not is_enforced(schema)


@pytest.mark.parametrize(
    "schema",
    [
        string(maxLength=10**9),
        string(minLength=10**9),
        string(pattern="((a{900}){900}){900}"),
        {"type": "array", "items": {"type": "null"}, "minItems": 10**9},
        {"type": "integer", "maximum": 10**40},
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"type": "array", "prefixItems": [{"$ref": "#"}] * 50},
    ],
)
def test_a_schema_without_measure_costs_no_more_than_another(
    accepts: Accepts, schema: dict[str, Any]
) -> None:
    try:
        accepts(schema, '["aaaa", null]')
    except InvalidRequest as refusal:
        assert refusal.param == "json_schema"


@pytest.mark.parametrize(
    "keyword",
    [{"not": {"const": 1}}, {"uniqueItems": True}, {"if": {"const": 1}}, {"propertyNames": {"maxLength": 2}}],
)
def test_what_is_left_open_is_said_to_be(keyword: dict[str, Any]) -> None:
    schema_grammar(keyword)
    assert not is_enforced({"type": "object", "properties": {"deep": {"type": "array", **keyword}}})

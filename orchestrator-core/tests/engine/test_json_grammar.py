"""Grammars from schemas, judged by llama.cpp's own grammar engine: what it accepts and what it refuses."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import llama_cpp as lib
import numpy as np
import pytest
from gguf_scripted import scripted_model
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_core.engine.json_grammar import integer_range, schema_grammar
from orchestrator_core.engine.tokenizer import Tokenizer

Accepts = Callable[[str, str], bool]


@pytest.fixture(scope="module")
def accepts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accepts]:
    """Whether a grammar allows exactly this text, byte by byte."""
    params = lib.llama_model_default_params()
    params.vocab_only = True
    path = scripted_model(tmp_path_factory.mktemp("vocabulary") / "bytes.gguf", "hello")
    model = lib.llama_model_load_from_file(str(path).encode(), params)
    vocab = lib.llama_model_get_vocab(model)
    tokenizer = Tokenizer(vocab)

    def allows(sampler: Any, token: int) -> bool:
        single = np.array([(token, 1.0, 0.0)], dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])
        data = single.ctypes.data_as(lib.llama_token_data_p)
        array = lib.llama_token_data_array(data=data, size=1, selected=-1, sorted=False)
        lib.llama_sampler_apply(sampler, ctypes.byref(array))
        return bool(np.isfinite(single["logit"][0]))

    def judge(grammar: str, text: str) -> bool:
        sampler = lib.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")
        assert sampler, grammar
        try:
            for token in [*tokenizer.middle(text, parse_control=False), tokenizer.eos]:
                if not allows(sampler, token):
                    return False
                if token != tokenizer.eos:
                    lib.llama_sampler_accept(sampler, token)
            return True
        finally:
            lib.llama_sampler_free(sampler)

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
        ({"type": "number", "minimum": 0}, ["0", "3.5", "1e9"], ["-1"]),
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
def test_a_grammar_allows_what_the_schema_allows(
    accepts: Accepts, schema: dict[str, Any], valid: list[str], invalid: list[str]
) -> None:
    grammar = schema_grammar(schema)
    for text in valid:
        assert accepts(grammar, text), text
    for text in invalid:
        assert not accepts(grammar, text), text


bound = st.one_of(st.integers(-30, 30), st.integers(-100_000, 100_000), st.integers(-(10**14), 10**14))


@settings(max_examples=150, deadline=None)
@given(bound, bound, st.lists(bound, max_size=8))
def test_an_integer_range_holds_its_numbers_and_no_others(
    accepts: Accepts, one: int, other: int, tried: list[int]
) -> None:
    low, high = sorted((one, other))
    grammar = f"root ::= {integer_range(low, high)}"
    for number in [low - 1, low, low + 1, high - 1, high, high + 1, 0, (low + high) // 2, *tried]:
        assert accepts(grammar, str(number)) is (low <= number <= high), (low, number, high)
    assert not accepts(grammar, "-0")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "maxLength": 10**9},
        {"type": "string", "minLength": -1},
        {"type": "string", "minLength": 5, "maxLength": 4},
        {"type": "array", "items": {"type": "null"}, "minItems": 10**9},
        {"type": "array", "items": {"type": "null"}, "maxItems": "many"},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "array", "items": False},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.org/schema.json"},
    ],
)
def test_limits_nobody_can_hold_are_refused_before_they_cost_anything(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="."):
        schema_grammar(schema)


def test_a_schema_nested_without_end_is_refused() -> None:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(5000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(RecursionError):
        schema_grammar(schema)

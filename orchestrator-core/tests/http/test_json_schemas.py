"""What a grammar enforces of a schema, and what has to be checked afterwards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.http.json_schemas import MAX_ENUMERATED, enforced_by_grammar, for_grammar, is_valid

bound = st.none() | st.integers(-30, 30)


@given(st.tuples(bound, bound, bound, bound), st.none() | st.integers(1, 5), st.integers(-40, 40))
def test_an_integer_is_allowed_after_as_before(bounds, step, number):
    names = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    schema = {
        "type": "integer",
        **{name: value for name, value in zip(names, bounds, strict=True) if value is not None},
    }
    if step is not None:
        schema["multipleOf"] = step
    assert is_valid(number, for_grammar(schema)) == is_valid(number, schema)


def test_near_bounds_become_a_choice_at_any_depth():
    schema = {
        "type": "object",
        "properties": {"n": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 3}}},
    }
    assert not enforced_by_grammar(schema)
    prepared = for_grammar(schema)
    assert prepared["properties"]["n"]["items"] == {"enum": [1, 2, 3]}
    assert enforced_by_grammar(prepared)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 0},
        {"type": "integer", "minimum": 0, "maximum": MAX_ENUMERATED},
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "integer", "minimum": 0.5, "maximum": 2},
        {"type": "integer", "minimum": 5, "maximum": 2},
    ],
)
def test_what_cannot_be_enumerated_stays_and_is_known_not_to_be_enforced(schema):
    assert for_grammar(schema) == schema
    assert not enforced_by_grammar(schema)


def test_values_that_look_like_schemas_are_left_alone():
    schema = {"enum": [{"type": "integer", "minimum": 1, "maximum": 2}], "const": {"not": 1}}
    assert for_grammar(schema) == schema
    assert enforced_by_grammar(schema)

"""What is refused before a body becomes a request."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.errors import InvalidRequest
from orchestrator_http.bodies import has_required_fields, parse_object
from pydantic import BaseModel


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"message": "\xff"}', "UTF-8"),
        (b"\xed\xa0\x80", "UTF-8"),
        (b"{", "JSON"),
        (b'{"a": NaN}', "JSON"),
        (b'{"a": Infinity}', "JSON"),
        (b'{"a": "\\ud800"}', "JSON"),
        (b"message=hello", "JSON"),
        (b'{"a": 1} {"b": 2}', "JSON"),
        (b"[1, 2]", "an array"),
        (b'"text"', "a string"),
        (b"12", "a number"),
        (b"1.5", "a number"),
        (b"true", "a boolean"),
        (b"null", "null"),
    ],
)
def test_what_is_no_json_object_is_refused_in_words(raw, said):
    with pytest.raises(InvalidRequest, match=said):
        parse_object(raw)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused(opening):
    with pytest.raises(InvalidRequest, match="JSON"):
        parse_object(b'{"a":' + opening * 100_000)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_every_json_object_is_read_as_python_reads_it(value):
    assert parse_object(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_in_another_way(raw):
    with contextlib.suppress(InvalidRequest):
        assert isinstance(parse_object(raw), dict)


def test_a_body_is_optional_where_no_field_is_required():
    class Optional(BaseModel):
        a: int = 1

    class Required(BaseModel):
        a: int

    assert not has_required_fields(Optional)
    assert has_required_fields(Required)

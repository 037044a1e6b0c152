"""The tools of a request, and calls that are forced by a schema."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from orchestrator_core.errors import InvalidRequest
from orchestrator_core.text.call_parser import Call
from orchestrator_http.completions.tools import CallReader, Toolbox


def tool(name, parameters=None):
    function = {"name": name}
    if parameters is not None:
        function["parameters"] = parameters
    return {"type": "function", "function": function}


WEATHER = tool(
    "weather",
    {"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]},
)
CALL = Call("weather", {"city": "Wien"})


json_objects = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=4,
    ),
    max_size=4,
)


@given(json_objects, st.integers(1, 9), st.booleans())
def test_a_forced_call_can_be_streamed_in_pieces_of_any_size(arguments, size, spaced):
    written = json.dumps({"name": "f", "arguments": arguments}, indent=1 if spaced else None)
    reader = CallReader()
    pieces = [reader.feed(written[start : start + size]) for start in range(0, len(written), size)]
    assert reader.name == "f"
    assert reader.complete
    assert json.loads("".join(pieces)) == arguments


def test_a_reader_shows_arguments_before_they_are_complete():
    reader = CallReader()
    assert reader.feed('{"name": "f", "arguments": {"city": "W') == '{"city": "W'
    assert reader.name == "f" and not reader.complete


def test_the_schema_of_one_tool_is_a_call_of_it():
    schema = Toolbox([WEATHER]).schema()
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"name": "weather", "arguments": {"city": "Wien"}})
    assert not validator.is_valid({"name": "weather", "arguments": {}})
    assert not validator.is_valid({"name": "other", "arguments": {"city": "Wien"}})
    assert not validator.is_valid({"name": "weather"})


def test_the_schema_of_several_tools_is_a_call_of_any_and_of_a_chosen_one_only_that():
    box = Toolbox([WEATHER, tool("clock")])
    clock = {"name": "clock", "arguments": {}}
    assert Draft202012Validator(box.schema()).is_valid(clock)
    assert Draft202012Validator(box.schema()).is_valid({"name": "weather", "arguments": {"city": "x"}})
    assert not Draft202012Validator(box.schema("weather")).is_valid(clock)


def test_references_inside_parameters_keep_their_meaning():
    tree = {
        "type": "object",
        "properties": {"value": {"$ref": "#/$defs/value"}, "left": {"$ref": "#"}},
        "required": ["value"],
        "$defs": {"value": {"type": "integer"}},
    }
    validator = Draft202012Validator(Toolbox([tool("tree", tree), WEATHER]).schema())
    assert validator.is_valid({"name": "tree", "arguments": {"value": 1, "left": {"value": 2}}})
    assert not validator.is_valid({"name": "tree", "arguments": {"value": 1, "left": {"value": "x"}}})


@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:9/a.json", "file:///etc/passwd", "#/$defs/none", "#name", 5]
)
def test_a_reference_to_elsewhere_is_refused_not_fetched(place):
    with pytest.raises(InvalidRequest):
        Toolbox([tool("f", {"properties": {"a": {"$ref": place}}})])


def test_arguments_are_checked():
    box = Toolbox([WEATHER, tool("clock")])
    assert box.valid(CALL)
    assert not box.valid(Call("weather", {"city": 5}))
    assert not box.valid(Call("weather", {}))
    assert not box.valid(Call("nobody", {}))
    assert box.valid(Call("clock", {}))
    assert not box.valid(Call("clock", {"extra": 1}))


def test_two_tools_of_one_name_are_refused():
    with pytest.raises(InvalidRequest, match="weather"):
        Toolbox([WEATHER, WEATHER])


@pytest.mark.parametrize(
    "parameters", [{"type": 5}, {"properties": {"a": {"type": "no"}}}, {"required": "a"}]
)
def test_parameters_that_are_no_schema_are_refused(parameters):
    with pytest.raises(InvalidRequest, match="JSON schema") as caught:
        Toolbox([tool("f", parameters)])
    assert caught.value.param == "tools"

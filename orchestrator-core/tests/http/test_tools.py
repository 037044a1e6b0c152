"""Tool calls: found in free text however models write them, forced by a schema where needed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from orchestrator_core.errors import InvalidRequest
from orchestrator_http.tools import Call, CallReader, CallSplitter, Toolbox, find_calls


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
JSON_CALL = '{"name": "weather", "arguments": {"city": "Wien"}}'


@pytest.mark.parametrize(
    "said",
    [
        JSON_CALL,
        "\n " + JSON_CALL,
        "[" + JSON_CALL + "]",
        "```json\n" + JSON_CALL + "\n```",
        "```\n[" + JSON_CALL + "]\n```",
        "[TOOL_CALLS] [" + JSON_CALL + "]",
        "[TOOL_CALLS]" + JSON_CALL,
        '[TOOL_CALLS]weather[ARGS]{"city": "Wien"}',
        '[TOOL_CALLS]weather[CALL_ID]abc123456[ARGS]{"city": "Wien"}',
        "<tool_call>\n" + JSON_CALL + "\n</tool_call>",
        '{"name": "weather", "parameters": {"city": "Wien"}}',
        '{"name": "weather", "arguments": "{\\"city\\": \\"Wien\\"}"}',
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_calls_as_models_write_them(said, size):
    splitter = CallSplitter()
    shown = "".join(splitter.feed(said[start : start + size]) for start in range(0, len(said), size))
    assert shown + splitter.flush() == ""
    assert splitter.calling
    assert find_calls(splitter.held) == [CALL]


def test_several_calls_at_once():
    marked = f"<tool_call>{JSON_CALL}</tool_call>\n<tool_call>{JSON_CALL}</tool_call>"
    for said in (marked, f"[{JSON_CALL}, {JSON_CALL}]", f"[TOOL_CALLS] [{JSON_CALL},{JSON_CALL}]"):
        assert find_calls(said) == [CALL, CALL]


def test_text_before_a_marked_call_is_shown():
    splitter = CallSplitter()
    said = f"I will look. <tool_call>{JSON_CALL}</tool_call>"
    shown = "".join(splitter.feed(character) for character in said)
    assert shown == "I will look. "
    assert find_calls(splitter.held) == [CALL]


@pytest.mark.parametrize(
    "said",
    [
        "Hello.",
        '{"city": "Wien"}',
        "[link](http://x)",
        "a < b",
        "```python\nprint()\n```",
        "[TOOL_BOX]",
        "",
        "{",
        "<tool",
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_everything_else_is_text(said, size):
    splitter = CallSplitter()
    shown = "".join(splitter.feed(said[start : start + size]) for start in range(0, len(said), size))
    assert shown + splitter.flush() == said
    assert not splitter.calling


@given(st.text(alphabet='{}[]"<>:`name tool_callTOOLS,json\n', max_size=60), st.integers(1, 5))
def test_no_text_is_lost_or_doubled(said, size):
    splitter = CallSplitter()
    shown = "".join(splitter.feed(said[start : start + size]) for start in range(0, len(said), size))
    rest = splitter.held if splitter.calling else splitter.flush()
    assert (shown + rest).replace(" ", "").replace("\n", "") == said.replace(" ", "").replace("\n", "")


def test_what_cannot_be_read_is_no_call():
    for said in ("{", '{"name": 5}', '{"name": "x", "arguments": [1]}', "[TOOL_CALLS] nonsense", '"text"'):
        assert find_calls(said) == []


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

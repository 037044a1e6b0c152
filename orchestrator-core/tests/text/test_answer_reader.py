"""Text, thoughts and calls told apart, however models write them and however the pieces arrive."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.text.answer_format import AnswerFormat, CallForm, Style
from orchestrator_core.text.answer_reader import AnswerReader, Said, Thought
from orchestrator_core.text.call_parser import Call
from support.written_answers import joined

TOOLS = {"weather": {"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}, "get_time": {}}
CALL = Call("weather", {"city": "Wien"})
JSON_CALL = '{"name": "weather", "arguments": {"city": "Wien"}}'
HARMONY = AnswerFormat(
    (CallForm(Style.NAMED, " to=functions.", between="<|message|>", close="<|call|>"),),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant"),
    "<|channel|>final<|message|>",
    ("<|channel|>", "<|message|>"),
)
MISTRAL = AnswerFormat(
    (CallForm(Style.NAMED, "[TOOL_CALLS]", between="[ARGS]", close="</s>"),), ("[THINK]", "[/THINK]")
)


def read(said, size=1, form=None, tools=TOOLS, cut_off=False, thinking=False):
    reader = AnswerReader(form or AnswerFormat(), tools, thinking=thinking)
    parts = []
    for start in range(0, len(said), size):
        parts += reader.feed(said[start : start + size])
    return joined([*parts, *reader.finish(cut_off=cut_off)])


def shown(parts):
    return "".join(part.text for part in parts if isinstance(part, Said))


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
        "<tool_call>\n" + JSON_CALL + "\n</tool_call>",
        '{"name": "weather", "parameters": {"city": "Wien"}}',
        '{"type": "function", "name": "weather", "parameters": {"city": "Wien"}}',
        '{"type": "function", "function": {"name": "weather", "arguments": {"city": "Wien"}}}',
        '{"name": "weather", "arguments": "{\\"city\\": \\"Wien\\"}"}',
        '[{"weather": {"city": "Wien"}}]'.replace("[{", "<tool_call>[{") + "</tool_call>",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_calls_as_models_write_them(said, size):
    assert read(said, size) == [CALL]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ('[TOOL_CALLS]weather[ARGS]{"city": "Wien"}', [CALL]),
        ('[TOOL_CALLS]weather[CALL_ID]abc123456[ARGS]{"city": "Wien"}', [CALL]),
        ('[TOOL_CALLS]weather[ARGS]{"city": "Wien"}[TOOL_CALLS]weather[ARGS]{"city": "Wien"}', [CALL, CALL]),
        ("[THINK]Hm.[/THINK]Hello.", [Thought("Hm."), Said("Hello.")]),
        ('[THINK]Hm.[/THINK][TOOL_CALLS]weather[ARGS]{"city": "Wien"}', [Thought("Hm."), CALL]),
    ],
)
def test_mistrals_newer_form(said, parts, size):
    assert read(said, size, MISTRAL) == parts


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ("<|channel|>final<|message|>Hello.", [Said("Hello.")]),
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello.",
            [Thought("Hm."), Said("Hello.")],
        ),
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.weather "
            '<|constrain|>json<|message|>{"city": "Wien"}',
            [Thought("Hm."), CALL],
        ),
        (' to=functions.weather<|channel|>commentary json<|message|>{"city": "Wien"}<|call|>', [CALL]),
        (
            "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant"
            '<|channel|>commentary to=functions.weather json<|message|>{"city": "Wien"}',
            [Said("I look."), CALL],
        ),
        ("Without any head.", [Said("Without any head.")]),
    ],
)
def test_messages_with_heads(said, parts, size):
    assert read(said, size, HARMONY) == parts


def test_several_calls_at_once():
    assert read(f"{JSON_CALL}\n{JSON_CALL}") == [CALL, CALL]
    marked = f"<tool_call>{JSON_CALL}</tool_call>\n<tool_call>{JSON_CALL}</tool_call>"
    for said in (marked, f"[{JSON_CALL}, {JSON_CALL}]", f"[TOOL_CALLS] [{JSON_CALL},{JSON_CALL}]"):
        assert read(said) == [CALL, CALL]


def test_text_before_and_after_a_call_is_shown():
    assert read(f"I will look. <tool_call>{JSON_CALL}</tool_call>\nDone.") == [
        Said("I will look. "),
        CALL,
        Said("Done."),
    ]


UNKNOWN = JSON_CALL.replace("weather", "launch")


@pytest.mark.parametrize(
    "said",
    [
        "Hello.",
        '{"city": "Wien"}',
        '{"name": "Wien", "people": 2}',
        '{"name": "Wien"',
        "[link](http://x)",
        "a < b",
        "```python\nprint()\n```",
        "[TOOL_BOX]",
        "{",
        "<tool",
        "Some models write <tool_call> tags to call a tool.",
        "Some write <tool_call>weather</tool_call>, others [TOOL_CALLS] weather.",
        "`<tool_call>` begins a call and `</tool_call>` ends it.",
        "[TOOL_CALLS] nonsense",
        f"{JSON_CALL} is how a call is written.",
        f"```json\n{JSON_CALL}\n```\nis how a call is written.",
        f"Write `<tool_call>{JSON_CALL}</tool_call>` to call it.",
        "Thoughts stand between <think> and </think>.",
        UNKNOWN,
        f"<tool_call>{UNKNOWN}</tool_call>",
        f"[TOOL_CALLS][{UNKNOWN}]",
        '<tool_call>{"name": "weather", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "weathers", "arguments": {}}</tool_call>',
        '<tool_call>{"name": 5}</tool_call>',
        "{" * 3000,
        '<tool_call>{"name": "weather", "arguments": ' + '{"a":' * 5000 + "1" + "}" * 5001 + "</tool_call>",
    ],
)
@pytest.mark.parametrize("size", [1, 13, 100_000])
def test_everything_else_stays_text(said, size):
    assert read(said, size) == [Said(said)]


def test_a_call_that_was_cut_off_is_dropped_and_what_was_said_before_is_not():
    assert read('Look: <tool_call>{"name": "weather", "arg', cut_off=True) == [Said("Look: ")]


def test_without_tools_nothing_is_a_call():
    said = f"<tool_call>{JSON_CALL}</tool_call>"
    assert read(said, tools={}) == [Said(said)]


def test_thoughts_that_the_prompt_opened_end_with_their_mark():
    assert read("Hm.\n</think>\n\nHello.", thinking=True) == [Thought("Hm.\n"), Said("Hello.")]
    assert read("Only thoughts", thinking=True) == [Thought("Only thoughts")]


def test_text_is_shown_as_soon_as_it_is_certain():
    reader = AnswerReader(AnswerFormat(), TOOLS)
    assert list(reader.feed("Hello <")) == [Said("Hello ")]
    assert list(reader.feed("b>")) == [Said("<b>")]
    assert list(reader.feed('{"people": ')) == [Said('{"people": ')]


@given(st.text(alphabet='{}[]"<>:`name tool_callTOOLSthink/,json\n', max_size=80), st.integers(1, 5))
def test_no_text_is_lost_or_doubled(said, size):
    parts = read(said, size)
    told = "".join(part.text for part in parts if isinstance(part, Said | Thought))
    left = said.replace("<think>", "").replace("</think>", "")
    assert sorted(c for c in left if c not in "<think>/ \n") == sorted(
        c for c in told if c not in "<think>/ \n"
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(
    st.dictionaries(st.text(max_size=5), values, max_size=4), st.integers(1, 9), st.sampled_from(["", "Hm. "])
)
def test_any_arguments_survive(arguments, size, before):
    written = json.dumps({"name": "get_time", "arguments": arguments})
    parts = read(f"{before}<tool_call>{written}</tool_call>", size)
    assert parts == [*([Said(before)] if before else []), Call("get_time", arguments)]


def test_looking_for_calls_in_vain_comes_to_an_end():
    said = "<tool_call>{" * 20_000
    assert read(said, 4000) == [Said(said)]
    assert read(
        '<tool_call>{"name": "get_time", "arguments": {"a": "' + "x" * 300_000 + '"}}</tool_call>', 30
    ) == [Call("get_time", {"a": "x" * 300_000})]

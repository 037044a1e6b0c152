"""Tool calls as the official `openai` package understands them."""

import json

import openai
import pytest
from support.openai_calls import CALL, CLOCK, HELLO, WEATHER, added_up
from support.scripted import Reply


def test_tools_are_called_when_the_model_wants_to(serve):
    client, backend, _ = serve(CALL)
    answer = client.chat.completions.create(model="m", messages=HELLO, tools=[WEATHER, CLOCK])
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "weather" and json.loads(call.function.arguments) == {"city": "Wien"}
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None
    assert "weather" in backend.calls[0].prompt.text
    assert backend.calls[0].config.json_schema is None


def test_with_tools_the_model_may_still_just_answer(serve):
    client, _, _ = serve("It is sunny.")
    answer = client.chat.completions.create(model="m", messages=HELLO, tools=[WEATHER])
    assert answer.choices[0].message.content == "It is sunny."
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].finish_reason == "stop"


def test_invalid_arguments_are_made_again_under_the_schema(serve):
    client, backend, _ = serve('{"name": "weather", "arguments": {"town": "Wien"}}', CALL)
    answer = client.chat.completions.create(model="m", messages=HELLO, tools=[WEATHER, CLOCK])
    (call,) = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Wien"}
    first, second = backend.calls
    assert first.config.json_schema is None
    assert second.config.json_schema["properties"]["name"] == {"const": "weather"}
    assert second.prompt.text == first.prompt.text


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "weather"}}], ids=["required", "named"]
)
def test_a_demanded_call_is_generated_under_the_schema(serve, choice):
    client, backend, _ = serve(CALL)
    answer = client.chat.completions.create(
        model="m", messages=HELLO, tools=[WEATHER, CLOCK], tool_choice=choice
    )
    (call,) = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Wien"}
    schema = backend.calls[0].config.json_schema
    assert len(schema.get("anyOf", [1])) == (2 if choice == "required" else 1)


def test_arguments_a_backend_made_against_the_schema_are_an_error_not_an_answer(serve):
    client, _, _ = serve('{"name": "weather", "arguments": {"city": 5}}')
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="m", messages=HELLO, tools=[WEATHER], tool_choice="required")
    assert caught.value.code == "schema_not_followed"


AGED = {
    "type": "function",
    "function": {
        "name": "age",
        "parameters": {
            "type": "object",
            "properties": {"years": {"type": "number", "exclusiveMinimum": 0}},
            "required": ["years"],
        },
    },
}

TOO_YOUNG = '{"name": "age", "arguments": {"years": -1}}'


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_grammar_cannot_enforce_is_checked_before_the_client_sees_it(serve, stream):
    client, backend, _ = serve(TOO_YOUNG, '{"name": "age", "arguments": {"years": 7}}')
    answer = client.chat.completions.create(
        model="m", messages=HELLO, tools=[AGED], tool_choice="required", seed=5, stream=stream
    )
    calls = added_up(answer)[1] if stream else [answer.choices[0].message.tool_calls[0].function.model_dump()]
    assert [json.loads(call["arguments"]) for call in calls] == [{"years": 7}]
    assert [call.config.seed for call in backend.calls] == [5, 6]


def test_after_some_attempts_it_gives_up_in_words(serve):
    client, backend, _ = serve(*[TOO_YOUNG] * 5)
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="m", messages=HELLO, tools=[AGED], tool_choice="required")
    assert caught.value.code == "schema_not_followed"
    assert len(backend.calls) == 2


def test_tools_with_choice_none_are_not_shown_to_the_model(serve):
    client, backend, _ = serve("Hi.")
    client.chat.completions.create(model="m", messages=HELLO, tools=[WEATHER], tool_choice="none")
    assert "weather" not in backend.calls[0].prompt.text


def test_a_tools_result_goes_back_to_the_model(serve):
    client, backend, _ = serve("It is 5 degrees in Wien.")
    call = {
        "id": "call12345",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Wien"}'},
    }
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call12345", "content": "5 degrees"},
    ]
    answer = client.chat.completions.create(model="m", messages=messages, tools=[WEATHER])
    assert answer.choices[0].message.content == "It is 5 degrees in Wien."
    assert "5 degrees" in backend.calls[0].prompt.text


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_tool_calls_are_streamed(serve, choice):
    client, _, _ = serve(Reply(text=CALL, split="characters"))
    stream = client.chat.completions.create(
        model="m", messages=HELLO, tools=[WEATHER], tool_choice=choice, stream=True
    )
    content, (call,), reason = added_up(stream)
    assert content == "" and reason == "tool_calls"
    assert call["name"] == "weather" and json.loads(call["arguments"]) == {"city": "Wien"} and call["id"]


def test_streamed_text_before_a_call_and_several_calls(serve):
    said = f"Let me look. [TOOL_CALLS] [{CALL}, {CALL}]"
    client, _, _ = serve(Reply(text=said, split="characters"))
    stream = client.chat.completions.create(model="m", messages=HELLO, tools=[WEATHER], stream=True)
    content, calls, reason = added_up(stream)
    assert content.strip() == "Let me look." and reason == "tool_calls"
    assert [json.loads(call["arguments"]) for call in calls] == [{"city": "Wien"}] * 2
    assert len({call["id"] for call in calls}) == 2


def test_a_call_that_was_cut_off_is_left_out(serve):
    client, _, _ = serve(CALL)
    answer = client.chat.completions.create(
        model="m", messages=HELLO, tools=[WEATHER], tool_choice="required", max_tokens=10
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.tool_calls is None


def test_at_most_one_call_where_no_parallel_calls_are_wanted(serve):
    client, _, _ = serve(f"[{CALL}, {CALL}]")
    answer = client.chat.completions.create(
        model="m", messages=HELLO, tools=[WEATHER], parallel_tool_calls=False
    )
    assert len(answer.choices[0].message.tool_calls) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "said",
    [
        "Some models write <tool_call> tags to call a tool.",
        CALL.replace("weather", "launch_rocket"),
        "<tool_call>" + CALL.replace("weather", "launch_rocket") + "</tool_call>",
    ],
)
def test_what_is_no_call_of_a_known_tool_is_text_and_nothing_is_called(serve, said, stream):
    client, backend, _ = serve(Reply(text=said, split="characters"))
    answer = client.chat.completions.create(model="m", messages=HELLO, tools=[WEATHER], stream=stream)
    if stream:
        content, calls, reason = added_up(answer)
    else:
        message = answer.choices[0].message
        content, calls, reason = message.content, message.tool_calls or [], answer.choices[0].finish_reason
    assert (content, calls, reason) == (said, [], "stop")
    assert len(backend.calls) == 1

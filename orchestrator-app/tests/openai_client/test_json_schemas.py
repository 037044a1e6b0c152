"""`response_format` of the official `openai` package."""

import json

import openai
import pytest
from support.openai_calls import HELLO, WEATHER, added_up


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("first", ['{"share": 7.5}', "nonsense", '{"share": 0.', "[" * 300, ""])
def test_a_json_schema_is_held_to_also_where_a_grammar_cannot(serve, first, stream):
    client, _, _ = serve(first, '{"share": 0.5}')
    schema = {
        "type": "object",
        "properties": {"share": {"type": "number", "maximum": 1}},
        "required": ["share"],
    }
    answer = client.chat.completions.create(
        model="m",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
        stream=stream,
    )
    content = added_up(answer)[0] if stream else answer.choices[0].message.content
    assert json.loads(content) == {"share": 0.5}


def test_json_schema_and_json_object(serve):
    client, backend, _ = serve('{"city": "Wien"}', "{}")
    schema = WEATHER["function"]["parameters"]
    answer = client.chat.completions.create(
        model="m",
        messages=HELLO,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": schema, "strict": True},
        },
    )
    assert json.loads(answer.choices[0].message.content) == {"city": "Wien"}
    client.chat.completions.create(model="m", messages=HELLO, response_format={"type": "json_object"})
    assert [call.config.json_schema for call in backend.calls] == [schema, {"type": "object"}]


def test_what_is_no_json_twice_is_an_error_and_never_an_answer(serve):
    client, backend, _ = serve('{"city": ', "so be it")
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="m", messages=HELLO, response_format={"type": "json_object"})
    assert (caught.value.status_code, caught.value.code) == (502, "schema_not_followed")
    assert len(backend.calls) == 2


def test_what_is_cut_off_says_so(serve):
    client, _, _ = serve('{"city": "a long name in many words"}')
    answer = client.chat.completions.create(
        model="m", messages=HELLO, response_format={"type": "json_object"}, max_tokens=2
    )
    assert answer.choices[0].finish_reason == "length"


def test_a_stop_text_cuts_no_json(serve):
    client, _, _ = serve('{"city": "Wien"}')
    answer = client.chat.completions.create(
        model="m", messages=HELLO, response_format={"type": "json_object"}, stop=["Wi"]
    )
    assert json.loads(answer.choices[0].message.content) == {"city": "Wien"}


@pytest.mark.parametrize("stream", [False, True])
def test_with_tools_and_a_schema_it_calls_or_answers_by_the_schema(serve, stream):
    call = '{"name": "weather", "arguments": {"city": "Wien"}}'
    client, backend, _ = serve(call, '{"city": "Wien"}', "It rains.", '{"city": "Graz"}')
    schema = WEATHER["function"]["parameters"]
    asked = {
        "model": "m",
        "messages": HELLO,
        "tools": [WEATHER],
        "response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}},
        "stream": stream,
    }

    def ask():
        answer = client.chat.completions.create(**asked)
        if stream:
            return added_up(answer)[:2]
        message = answer.choices[0].message
        return message.content or "", [part.function.model_dump() for part in message.tool_calls or ()]

    text, calls = ask()
    assert (text, [one["name"] for one in calls]) == ("", ["weather"])
    assert ask() == ('{"city": "Wien"}', [])
    assert ask() == ('{"city": "Graz"}', [])
    assert [one.config.json_schema for one in backend.calls] == [None, None, None, schema]

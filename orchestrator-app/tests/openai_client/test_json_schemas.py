"""`response_format` of the official `openai` package."""

import json

import pytest
from support.openai_calls import HELLO, WEATHER, added_up


@pytest.mark.parametrize("stream", [False, True])
def test_a_json_schema_is_held_to_also_where_a_grammar_cannot(serve, stream):
    client, _, _ = serve('{"share": 7.5}', "nonsense", '{"share": 0.5}')
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

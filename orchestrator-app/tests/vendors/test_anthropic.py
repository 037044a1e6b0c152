"""Anthropic's own client."""

import anthropic
import pytest
from support.openai_calls import KEY

HELLO = [{"role": "user", "content": "Hi"}]
WEATHER = {
    "name": "weather",
    "description": "The weather somewhere",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
CALL = '{"name": "weather", "arguments": {"city": "Wien"}}'


def client_of(server, key=KEY):
    return anthropic.Anthropic(base_url=server.url, api_key=key, max_retries=0)


def test_a_message(serve):
    backend, server = serve("Hello there.")
    with client_of(server) as client:
        answer = client.messages.create(
            model="m",
            max_tokens=50,
            system="Be brief.",
            messages=HELLO,
            stop_sequences=["end"],
            extra_body={"top_k": 5},
        )
    assert (answer.content[0].text, answer.stop_reason, answer.role) == (
        "Hello there.",
        "end_turn",
        "assistant",
    )
    assert answer.usage.output_tokens > 0
    assert answer.usage.input_tokens > 0
    used = backend.calls[-1]
    assert (used.config.stop, used.config.top_k, used.config.temperature) == (["end"], 5, 1.0)
    assert "Be brief." in used.prompt.text


def test_it_streams(serve):
    _, server = serve("Hello there, you.")
    with (
        client_of(server) as client,
        client.messages.stream(model="m", max_tokens=50, messages=HELLO) as stream,
    ):
        assert "".join(stream.text_stream) == "Hello there, you."
        final = stream.get_final_message()
    assert (final.stop_reason, final.content[0].text) == ("end_turn", "Hello there, you.")
    assert final.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_their_results_go_back(serve, stream):
    backend, server = serve(CALL, "It rains.")
    with client_of(server) as client:
        asked = {"model": "m", "max_tokens": 50, "tools": [WEATHER], "messages": HELLO}
        if stream:
            with client.messages.stream(**asked) as running:
                answer = running.get_final_message()
        else:
            answer = client.messages.create(**asked)
        assert answer.stop_reason == "tool_use"
        (call,) = answer.content
        assert (call.type, call.name, call.input) == ("tool_use", "weather", {"city": "Wien"})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "wet"}]}
        said = [part.model_dump(include={"type", "id", "name", "input"}) for part in answer.content]
        messages = [*HELLO, {"role": "assistant", "content": said}, {"role": "user", "content": [result]}]
        again = client.messages.create(**{**asked, "messages": messages})
    assert again.content[0].text == "It rains."
    assert "wet" in backend.calls[-1].prompt.text


def test_a_tool_can_be_demanded(serve):
    backend, server = serve(CALL)
    with client_of(server) as client:
        client.messages.create(
            model="m",
            max_tokens=50,
            tools=[WEATHER],
            messages=HELLO,
            tool_choice={"type": "tool", "name": "weather"},
        )
    assert backend.calls[-1].config.json_schema is not None


def test_tokens_are_counted(serve):
    _, server = serve()
    with client_of(server) as client:
        few = client.messages.count_tokens(model="m", messages=HELLO)
        more = client.messages.count_tokens(model="m", system="Be brief, please.", messages=HELLO)
    assert 0 < few.input_tokens < more.input_tokens


def test_an_answer_that_is_cut_off_says_so(serve):
    _, server = serve("one two three four five")
    with client_of(server) as client:
        assert client.messages.create(model="m", max_tokens=2, messages=HELLO).stop_reason == "max_tokens"


def test_errors_are_those_of_the_client(serve):
    _, server = serve()
    with client_of(server, "wrong") as client, pytest.raises(anthropic.AuthenticationError) as caught:
        client.messages.create(model="m", max_tokens=5, messages=HELLO)
    assert caught.value.body["error"]["type"] == "authentication_error"
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}
    with client_of(server) as client, pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": [image]}])
    assert refused.value.body["type"] == "error"
    assert "takes no images" in refused.value.body["error"]["message"]


def test_the_assistant_remembers(serve):
    _, server = serve("One.", "Two.")
    with client_of(server) as client:
        first = client.messages.create(model="orchestrator", max_tokens=50, messages=HELLO)
        messages = [
            *HELLO,
            {"role": "assistant", "content": first.content[0].text},
            {"role": "user", "content": "And?"},
        ]
        client.messages.create(model="orchestrator", max_tokens=50, messages=messages)
    conversations = server.services.assistant.conversations
    (conversation,) = [each for each in conversations.list() if each.turn_count]
    said = [message.content for message in conversations.messages(conversation.conversation_id)]
    assert said == ["Hi", "One.", "And?", "Two."]

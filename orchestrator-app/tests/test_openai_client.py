"""The official `openai` package against this server, over a real socket."""

import json

import openai
import pytest
from orchestrator_core.backends.scripted import Gate, Reply, ScriptedBackend
from support.desktop import listening

KEY = "sk-the-owners"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}
CALL = '{"name": "weather", "arguments": {"city": "Wien"}}'
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def serve(tmp_path):
    """Starts a server that gives these replies; returns a client, its backend and the server."""
    running = []

    def start(*replies, **options):
        backend = ScriptedBackend(replies, otherwise=Reply(text="More."), **options)
        context = listening(tmp_path, backend, api_key=KEY)
        running.append((context, context.__enter__()))
        server = running[-1][1]
        client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0)
        running[-1] += (client,)
        return client, backend, server

    yield start
    for context, _, client in running:
        client.close()
        context.__exit__(None, None, None)


def test_models(serve):
    client, _, _ = serve()
    (model,) = client.models.list().data
    assert model.id == "scripted" and model.context_length == 8192
    assert client.models.retrieve("scripted").id == "scripted"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("another/model")
    assert caught.value.code == "model_not_found"


def test_chat(serve):
    client, backend, _ = serve(Reply(text="Hello 🦜 there.", cached_tokens=3))
    answer = client.chat.completions.create(
        model="gpt-4o",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]},
        ],
        max_completion_tokens=20,
        temperature=0,
        presence_penalty=0.5,
        user="somebody",
    )
    assert answer.choices[0].message.content == "Hello 🦜 there."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "scripted"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details.cached_tokens == 3
    sent = backend.calls[0]
    assert sent.config.max_new_tokens == 20 and sent.config.temperature == 0
    assert "Be brief." in sent.prompt.text and "Hello" in sent.prompt.text


def test_an_answer_that_was_cut_off_says_length(serve):
    client, _, _ = serve("one two three four")
    answer = client.chat.completions.create(model="m", messages=HELLO, max_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content == "one two"


def test_streaming_with_usage(serve):
    client, _, _ = serve("Hello there, friend.")
    chunks = list(
        client.chat.completions.create(
            model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == "Hello there, friend."
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


def test_without_include_usage_no_chunk_lacks_choices(serve):
    client, _, _ = serve("Hello.")
    chunks = list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_the_first_token_arrives_before_the_last_is_made(serve):
    gate = Gate()
    client, _, _ = serve(Reply(text="one two three", gate=gate))
    with client.chat.completions.create(model="m", messages=HELLO, stream=True) as stream:
        gate.allow(1)
        received = iter(stream)
        texts = [next(received).choices[0].delta.content, next(received).choices[0].delta.content]
        assert texts == ["", "one"]
        assert gate.wait_blocked()  # The second token is not made yet.
        gate.open()
        assert "".join(c.choices[0].delta.content or "" for c in received) == " two three"


def test_a_client_that_leaves_ends_its_run(serve):
    gate = Gate()
    client, _, server = serve(Reply(text="one two three", gate=gate))
    stream = client.chat.completions.create(model="m", messages=HELLO, stream=True)
    gate.allow(1)
    next(iter(stream))
    (run,) = server.services.assistant.runs.active()
    stream.close()
    assert run.wait(timeout=10).state == "cancelled"


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
    assert len(backend.calls) == 3


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


def added_up(stream):
    """What a client makes of streamed tool calls."""
    calls, reason, content = {}, None, ""
    for chunk in stream:
        choice = chunk.choices[0]
        content += choice.delta.content or ""
        for part in choice.delta.tool_calls or ():
            call = calls.setdefault(part.index, {"name": "", "arguments": ""})
            call["id"] = part.id or call.get("id")
            call["name"] += part.function.name or ""
            call["arguments"] += part.function.arguments or ""
        reason = choice.finish_reason or reason
    return content, list(calls.values()), reason


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


def test_completions(serve):
    client, backend, _ = serve("a theory.", "more")
    answer = client.completions.create(model="m", prompt="[INST] Continuity is [/INST]", max_tokens=9)
    assert answer.choices[0].text == "a theory." and answer.object == "text_completion"
    assert backend.calls[0].prompt.text == "[INST] Continuity is [/INST]"
    stream = client.completions.create(model="m", prompt="x", echo=True, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "xmore"


def test_embeddings(serve):
    client, _, _ = serve(embedding_size=8)
    found = client.embeddings.create(model="m", input=["one", "two"])
    assert [len(one.embedding) for one in found.data] == [8, 8]
    plain = client.embeddings.create(model="m", input="one", encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(found.data[0].embedding, abs=1e-6)
    assert found.usage.prompt_tokens == 2


def test_error_classes(serve):
    client, _, server = serve(Reply(refuse="overloaded"))
    create = client.chat.completions.create
    with pytest.raises(openai.RateLimitError) as busy:
        create(model="m", messages=HELLO)
    assert busy.value.response.headers["retry-after"] == "1"
    with pytest.raises(openai.BadRequestError) as long:
        create(model="m", messages=[{"role": "user", "content": "word " * 9000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as wrong:
        create(model="m", messages=HELLO, temperature=-1)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as several:
        create(model="m", messages=HELLO, n=2)
    assert several.value.param == "n"
    other = openai.OpenAI(base_url=server.url + "/v1", api_key="wrong", max_retries=0)
    with other, pytest.raises(openai.AuthenticationError):
        other.models.list()


def test_an_error_half_way_ends_the_stream_with_an_error(serve):
    from orchestrator_core.errors import ModelNotFound

    client, _, _ = serve(Reply(text="one two", crash_after=(1,), failure=ModelNotFound("Gone.")))
    with pytest.raises(openai.APIError, match="Gone"):
        list(client.chat.completions.create(model="m", messages=HELLO, stream=True))

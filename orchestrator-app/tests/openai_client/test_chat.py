"""Chat completions of the official `openai` package, whole and streamed, and its error classes."""

import openai
import pytest
from support.openai_calls import HELLO
from support.scripted import Gate, Reply


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
        create(model="m", messages=HELLO, n=200)
    assert several.value.param == "n"
    other = openai.OpenAI(base_url=server.url + "/v1", api_key="wrong", max_retries=0)
    with other, pytest.raises(openai.AuthenticationError):
        other.models.list()


def test_an_error_half_way_ends_the_stream_with_an_error(serve):
    from orchestrator_core.errors import ModelNotFound

    client, _, _ = serve(Reply(text="one two", crash_after=(1,), failure=ModelNotFound("Gone.")))
    with pytest.raises(openai.APIError, match="Gone"):
        list(client.chat.completions.create(model="m", messages=HELLO, stream=True))

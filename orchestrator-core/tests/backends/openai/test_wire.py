import contextlib
import json
from email.utils import formatdate
from time import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.backend import FinishReason, Usage
from orchestrator_core.backends.openai_wire import (
    MAX_QUOTE,
    Delta,
    ProtocolError,
    ServerError,
    error_for,
    error_text,
    finish_reason,
    read_delta,
    retry_after,
)
from orchestrator_core.errors import (
    BackendError,
    BackendLoading,
    BackendTimeout,
    BackendUnreachable,
    ContextLengthExceeded,
    ModelNotFound,
    Overloaded,
)

# --- chunks ---


def choice(**fields: object) -> str:
    return json.dumps({"choices": [fields]})


@pytest.mark.parametrize(
    ("payload", "delta"),
    [
        (choice(delta={"role": "assistant"}), Delta()),
        (choice(delta={"content": "Hi"}), Delta("Hi")),
        (choice(delta={"content": None}, finish_reason="stop"), Delta("", "stop")),
        (choice(delta=None, finish_reason="length"), Delta("", "length")),
        (choice(delta={"content": [{"type": "text", "text": "a"}, {"type": "x"}, 5]}), Delta("a")),
        (choice(text="raw"), Delta("raw")),
        (choice(message={"content": "whole"}, finish_reason="stop"), Delta("whole", "stop")),
        ('{"choices": []}', Delta()),
        (
            '{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2,'
            ' "prompt_tokens_details": {"cached_tokens": 1}}}',
            Delta(usage=Usage(3, 2, 1)),
        ),
        (
            '{"usage": {"prompt_tokens": "x", "completion_tokens": -1, "prompt_tokens_details": null}}',
            Delta(usage=Usage()),
        ),
        ('{"choices": [], "usage": null}', Delta()),
    ],
)
def test_chunks_of_all_known_shapes(payload: str, delta: Delta) -> None:
    assert read_delta(payload) == delta


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "nonsense",
        "5",
        "[]",
        "{}",
        '{"choices": 5}',
        '{"choices": {"delta": {}}}',
        '{"choices": [5]}',
        choice(delta=["x"]),
        choice(delta={"content": 5}),
        choice(text={"a": 1}),
    ],
)
def test_what_is_no_chunk_is_a_protocol_error(payload: str) -> None:
    with pytest.raises(ProtocolError):
        read_delta(payload)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["choices", "delta", "content", "text", "usage", "error", "message"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_chunk_or_a_named_error(content: object) -> None:
    with contextlib.suppress(ProtocolError, ServerError):
        assert isinstance(read_delta(json.dumps(content)), Delta)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        ({"message": "boom", "code": 500, "type": "server_error"}, 500, "boom (server_error)"),
        ({"message": "boom", "code": "weird"}, 0, "boom (weird)"),
        ("boom", 0, "boom"),
        (["boom"], 0, '["boom"]'),
    ],
)
def test_an_error_object_in_place_of_a_chunk(error: object, status: int, text: str) -> None:
    with pytest.raises(ServerError) as caught:
        read_delta(json.dumps({"error": error}))
    assert (caught.value.status, caught.value.text) == (status, text)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("length", FinishReason.LENGTH),
        ("model_length", FinishReason.LENGTH),
        ("stop", FinishReason.STOP),
        ("tool_calls", FinishReason.STOP),
        (None, FinishReason.STOP),
    ],
)
def test_finish_reasons(word: str | None, reason: FinishReason) -> None:
    assert finish_reason(word) is reason


# --- errors ---

VLLM_TOO_LONG = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"
LLAMA_TOO_LONG = "the request exceeds the available context size (exceed_context_size_error)"
MISTRAL_TOO_LONG = "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"


@pytest.mark.parametrize(
    ("status", "text", "kind", "code"),
    [
        (400, VLLM_TOO_LONG, ContextLengthExceeded, "context_length_exceeded"),
        (400, LLAMA_TOO_LONG, ContextLengthExceeded, "context_length_exceeded"),
        (422, MISTRAL_TOO_LONG, ContextLengthExceeded, "context_length_exceeded"),
        (400, "wrong (context_length_exceeded)", ContextLengthExceeded, "context_length_exceeded"),
        (0, VLLM_TOO_LONG, ContextLengthExceeded, "context_length_exceeded"),
        (400, "temperature must be below 2", BackendError, "backend_refused"),
        (401, "no", BackendError, "backend_unauthorized"),
        (403, "no", BackendError, "backend_unauthorized"),
        (404, "no", ModelNotFound, "model_not_found"),
        (429, "no", Overloaded, "overloaded"),
        (302, "", BackendError, "backend_redirect"),
        (503, "Loading model", BackendLoading, "loading"),
        (503, "down", BackendUnreachable, "backend_unreachable"),
        (500, "boom", BackendUnreachable, "backend_unreachable"),
        (0, "boom", BackendUnreachable, "backend_unreachable"),
        (504, "", BackendTimeout, "backend_timeout"),
        (408, "", BackendTimeout, "backend_timeout"),
    ],
)
def test_every_status_has_its_error(status: int, text: str, kind: type, code: str) -> None:
    error = error_for(status, text, {}, server="http://there/v1", model="m")
    assert type(error) is kind
    assert error.code == code
    assert "http://there/v1" in error.message
    assert text in error.message or status == 302


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("0.2", 1), ("-5", 1), ("99999", 3600), ("nan", 5), ("inf", 5), ("soon", 5), ("", 5)],
)
def test_retry_after_is_bounded(value: str, seconds: int) -> None:
    assert retry_after({"Retry-After": value}) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert 50 <= retry_after({"Retry-After": formatdate(time() + 60, usegmt=True)}) <= 60


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"error": {"message": "m", "type": "t"}}', "m (t)"),
        ('{"error": "m"}', "m"),
        ('{"object": "error", "message": "m", "code": 400}', "m"),
        ('{"detail": [{"loc": ["body"], "msg": "x"}]}', '[{"loc": ["body"], "msg": "x"}]'),
        ("<html><b>Bad  Gateway</b></html>", "Bad Gateway"),
        ("", ""),
        ("[1]", "[1]"),
    ],
)
def test_the_servers_words_are_found_in_any_shape(body: str, text: str) -> None:
    assert error_text(body) == text


def test_the_servers_words_are_bounded() -> None:
    assert len(error_text("x" * 10_000)) <= MAX_QUOTE + 1

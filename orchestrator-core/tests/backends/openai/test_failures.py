"""Servers that break off, fall silent or refuse."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from orchestrator_core.errors import (
    BackendError,
    BackendTimeout,
    BackendUnreachable,
    ContextLengthExceeded,
    ModelNotFound,
    OrchestratorError,
    Overloaded,
)
from support.generations import said
from support.openai_server import ASK, CONFIG, KEY, Answer, Exchange, HttpDouble, backend_for, text_chunk
from support.ports import nobody_listens


def cut(exchange: Exchange) -> None:
    exchange.begin()
    exchange.event(text_chunk("half"))
    exchange.drop()


def end_early(exchange: Exchange) -> None:
    exchange.events(text_chunk("half"), chunked=False, done=False)


def garbage(exchange: Exchange) -> None:
    exchange.events(text_chunk("half"), "}{ nonsense")


def wrong_types(exchange: Exchange) -> None:
    exchange.events(text_chunk("half"), {"choices": [{"delta": {"content": {"a": 1}}}]})


def error_object(exchange: Exchange) -> None:
    exchange.events(text_chunk("half"), {"error": {"message": f"CUDA died {KEY}", "code": 500}})


def finish_error(exchange: Exchange) -> None:
    exchange.events(text_chunk("half"), text_chunk("", "error"))


@pytest.mark.parametrize("answer", [cut, end_early, garbage, wrong_types, error_object, finish_error])
def test_an_answer_that_breaks_off_counts_as_unreachable_and_keeps_its_text(
    serve: Callable[..., HttpDouble], answer: Answer
) -> None:
    generation = backend_for(serve(answer).url, api_key=KEY).generate(ASK, CONFIG)
    tokens = iter(generation)
    assert next(tokens).text == "half"
    with pytest.raises(BackendUnreachable) as caught:
        next(tokens)
    assert generation.finish_reason is None
    assert KEY not in caught.value.message


@pytest.mark.parametrize("before", [[], [text_chunk("half")]])
def test_silence_is_a_timeout_also_between_chunks(
    serve: Callable[..., HttpDouble], before: list[Any]
) -> None:
    def stall(exchange: Exchange) -> None:
        exchange.begin()
        for payload in before:
            exchange.event(payload)
        exchange.wait_hung_up()

    backend = backend_for(serve(stall).url, read_timeout_s=0.2)
    with pytest.raises(BackendTimeout, match=r"silent for 0\.2 s"):
        said(backend.generate(ASK, CONFIG))


def test_an_error_before_any_text_keeps_its_meaning(serve: Callable[..., HttpDouble]) -> None:
    too_long = {"error": {"message": "maximum context length is 5", "code": 400}}
    generation = backend_for(serve(lambda e: e.events(too_long)).url).generate(ASK, CONFIG)
    with pytest.raises(ContextLengthExceeded):
        said(generation)


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (401, {}, BackendError),
        (404, {}, ModelNotFound),
        (429, {"Retry-After": "17"}, Overloaded),
        (500, {}, BackendUnreachable),
        (302, {"Location": "http://elsewhere.example/v1"}, BackendError),
    ],
)
def test_a_refusal_is_raised_by_generate(
    serve: Callable[..., HttpDouble], status: int, headers: dict[str, str], kind: type[OrchestratorError]
) -> None:
    body = {"error": {"message": f"bad key {KEY}"}}
    double = serve(lambda exchange: exchange.json(body, status, headers))
    with pytest.raises(kind) as caught:
        backend_for(double.url, api_key=KEY).generate(ASK, CONFIG)
    assert KEY not in f"{caught.value} {caught.value.hint}"
    if isinstance(caught.value, Overloaded):
        assert caught.value.retry_after_s == 17


def test_a_refusal_that_comes_late_is_raised_by_iterating(
    serve: Callable[..., HttpDouble], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_core.backends.openai.ANSWER_WAIT_S", 0.01)
    late = threading.Event()

    def answer(exchange: Exchange) -> None:
        assert late.wait(10)
        exchange.json({"error": "busy"}, 429)

    generation = backend_for(serve(answer).url).generate(ASK, CONFIG)
    late.set()
    with pytest.raises(Overloaded):
        said(generation)


def test_nothing_listening_is_unreachable_and_is_tried_again() -> None:
    with nobody_listens() as port:
        backend = backend_for(f"http://127.0.0.1:{port}/v1")
        for _ in range(2):
            with pytest.raises(BackendUnreachable, match="cannot be reached"):
                backend.load()
    assert not backend.stats().loaded


def test_a_server_that_talks_nonsense_is_named() -> None:
    double = HttpDouble(lambda exchange: exchange.json(b"<html>hello</html>"))
    try:
        with pytest.raises(
            BackendUnreachable, match="does not speak the OpenAI protocol: the answer is not JSON"
        ):
            backend_for(double.url).load()
    finally:
        double.close()

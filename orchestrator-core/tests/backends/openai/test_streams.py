"""What becomes of a server's stream."""

import threading
from collections.abc import Callable

import pytest
from orchestrator_core.backend import FinishReason, Usage
from orchestrator_core.generation import GenerationConfig
from support.generations import said
from support.openai_server import ASK, CONFIG, Exchange, HttpDouble, backend_for, text_chunk


@pytest.mark.parametrize("chunked", [True, False])
def test_a_stream_becomes_tokens_and_usage(serve: Callable[..., HttpDouble], chunked: bool) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    double = serve(
        lambda exchange: exchange.events(
            text_chunk("Hel"),
            text_chunk("lo"),
            text_chunk("", "stop"),
            {"choices": [], "usage": usage},
            chunked=chunked,
        )
    )
    generation = backend_for(double.url).generate(ASK, CONFIG)
    assert [token.text for token in generation] == ["Hel", "lo"]
    assert generation.usage == Usage(9, 2, 4)
    assert generation.finish_reason is FinishReason.STOP


def test_tokens_are_shown_when_they_arrive_not_when_the_answer_ends(serve: Callable[..., HttpDouble]) -> None:
    go_on = threading.Event()

    def answer(exchange: Exchange) -> None:
        exchange.begin()
        exchange.event(text_chunk("first"))
        assert go_on.wait(10)
        exchange.event(text_chunk("second", "stop"))
        exchange.end()

    tokens = iter(backend_for(serve(answer).url).generate(ASK, CONFIG))
    assert next(tokens).text == "first"
    go_on.set()
    assert next(tokens).text == "second"


def test_bytes_cut_inside_characters_and_events_change_nothing(serve: Callable[..., HttpDouble]) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin()
        stream = ': ping\r\n\r\ndata: {"choices":[{"delta":{"content":"漢字 🦜"},"finish_reason":"length"}]}\r\n\r\n'
        for byte in stream.encode():
            exchange.send(bytes([byte]))
        exchange.end()

    generation = backend_for(serve(answer).url).generate(ASK, CONFIG)
    assert said(generation) == "漢字 🦜"
    assert generation.finish_reason is FinishReason.LENGTH


def test_a_server_that_does_not_stream_is_understood(serve: Callable[..., HttpDouble]) -> None:
    whole = {"choices": [{"message": {"content": "all at once"}, "finish_reason": "stop"}]}
    assert said(backend_for(serve(lambda e: e.json(whole)).url).generate(ASK, CONFIG)) == "all at once"


def test_a_finished_answer_is_complete_even_if_the_connection_breaks_after_it(
    serve: Callable[..., HttpDouble],
) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin()
        exchange.event(text_chunk("done", "stop"))
        exchange.drop()

    generation = backend_for(serve(answer).url).generate(ASK, CONFIG)
    assert said(generation) == "done"
    assert generation.finish_reason is FinishReason.STOP


def test_more_stops_than_the_server_takes_are_cut_here(serve: Callable[..., HttpDouble]) -> None:
    double = serve(lambda e: e.events(text_chunk("ab E"), text_chunk("ND cd"), text_chunk("", "stop")))
    config = GenerationConfig(stop=["1", "2", "3", "4", "END"])
    generation = backend_for(double.url).generate(ASK, config)
    assert said(generation) == "ab "
    assert generation.finish_reason is FinishReason.STOP


def test_a_slow_reader_holds_the_server_back_and_gets_everything(serve: Callable[..., HttpDouble]) -> None:
    chunks = [text_chunk(f"{n} ") for n in range(2000)]
    double = serve(lambda exchange: exchange.events(*chunks, text_chunk("", "stop")))
    generation = backend_for(double.url).generate(ASK, CONFIG)
    assert said(generation).split() == [str(n) for n in range(2000)]

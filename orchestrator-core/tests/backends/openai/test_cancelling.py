"""An answer nobody wants any more is ended at the server too."""

import threading
from collections.abc import Callable

import pytest
from orchestrator_core.backend import FinishReason
from support.generations import said
from support.openai_server import ASK, CONFIG, Exchange, HttpDouble, ModelServer, backend_for, text_chunk
from support.scripted import ScriptedBackend
from support.scripted.script import Gate, Reply


def half_until(hung_up: threading.Event) -> Callable[[Exchange], None]:
    """Half an answer, then nothing until the caller hangs up."""

    def answer(exchange: Exchange) -> None:
        exchange.begin()
        exchange.event(text_chunk("half"))
        if exchange.wait_hung_up():
            hung_up.set()

    return answer


def test_cancel_hangs_up_while_the_server_is_silent(serve: Callable[..., HttpDouble]) -> None:
    hung_up = threading.Event()
    generation = backend_for(serve(half_until(hung_up)).url).generate(ASK, CONFIG)
    tokens = iter(generation)
    assert next(tokens).text == "half"
    threading.Timer(0.05, generation.cancel).start()
    assert list(tokens) == []
    assert generation.finish_reason is FinishReason.CANCELLED
    assert hung_up.wait(10)


def test_cancel_before_the_server_answered_ends_at_once(
    serve: Callable[..., HttpDouble], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_core.backends.openai.ANSWER_WAIT_S", 0.01)
    release = threading.Event()
    double = serve(lambda exchange: (release.wait(10), exchange.events(text_chunk("late", "stop")))[0])
    generation = backend_for(double.url).generate(ASK, CONFIG)
    generation.cancel()
    assert said(generation) == ""
    assert generation.finish_reason is FinishReason.CANCELLED
    release.set()


def test_a_generation_nobody_keeps_hangs_up(serve: Callable[..., HttpDouble]) -> None:
    hung_up = threading.Event()
    backend = backend_for(serve(half_until(hung_up)).url)
    backend.generate(ASK, CONFIG)  # dropped without being read
    assert hung_up.wait(10)


def test_close_cancels_what_runs(serve: Callable[..., HttpDouble]) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin()
        exchange.wait_hung_up()

    backend = backend_for(serve(answer).url)
    generation = backend.generate(ASK, CONFIG)
    assert backend.stats().running == 1
    backend.close()
    backend.close()
    assert said(generation) == ""
    assert generation.finish_reason is FinishReason.CANCELLED
    assert (backend.stats().running, backend.stats().loaded) == (0, False)


def test_cancel_reaches_the_engine_behind_the_server(model_server: Callable[..., ModelServer]) -> None:
    gate = Gate()
    gate.allow(1)
    scripted = ScriptedBackend([Reply(text="one two", gate=gate)])
    generation = backend_for(model_server(scripted).url).generate(ASK, CONFIG)
    tokens = iter(generation)
    assert next(tokens).text == "one"
    assert gate.wait_blocked()
    assert scripted.stats().running == 1
    generation.cancel()
    assert list(tokens) == []
    for _ in range(200):
        if scripted.stats().running == 0:
            break
        threading.Event().wait(0.05)
    assert scripted.stats().running == 0

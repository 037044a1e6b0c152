"""Gates, delays and cancelling."""

import gc
import threading

import pytest
from orchestrator_core.backend import FinishReason
from support.generations import said
from support.scripted import ScriptedBackend
from support.scripted.script import Gate, Reply
from support.scripted_answers import ASK, config


def test_the_gate_lets_tokens_pass_one_by_one() -> None:
    gate = Gate()
    generation = ScriptedBackend([Reply(text="one two three", gate=gate)]).generate(ASK, config())
    shown: list[str] = []
    reader = threading.Thread(target=lambda: shown.extend(token.text for token in generation))
    reader.start()
    assert gate.wait_blocked()
    assert shown == []
    gate.allow(2)
    gate.open()
    reader.join(10)
    assert shown == ["one", " two", " three"]


@pytest.mark.parametrize("stuck", ["gate", "hang"])
def test_cancel_from_another_thread_ends_a_stuck_answer(stuck: str) -> None:
    gate = Gate()
    gate.allow(1)
    reply = Reply(text="one two", gate=gate) if stuck == "gate" else Reply(text="one two", hang_after=1)
    generation = ScriptedBackend([reply]).generate(ASK, config())
    first = threading.Event()
    shown: list[str] = []

    def read() -> None:
        for token in generation:
            shown.append(token.text)
            first.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert first.wait(10)
    generation.cancel()
    generation.cancel()
    reader.join(10)
    assert not reader.is_alive()
    assert shown == ["one"]
    assert generation.finish_reason is FinishReason.CANCELLED


def test_cancelled_before_it_began_it_says_nothing() -> None:
    generation = ScriptedBackend(["one"]).generate(ASK, config())
    generation.cancel()
    assert said(generation) == ""
    assert generation.finish_reason is FinishReason.CANCELLED


def test_close_cancels_what_runs_and_the_backend_can_be_loaded_again() -> None:
    backend = ScriptedBackend([Reply(text="one", hang_after=0), "two"])
    generation = backend.generate(ASK, config())
    backend.close()
    backend.close()
    assert said(generation) == ""
    assert generation.finish_reason is FinishReason.CANCELLED
    assert not backend.stats().loaded
    assert said(backend.generate(ASK, config())) == "two"


def test_an_answer_dropped_half_way_can_be_collected_at_any_moment() -> None:
    """The collector may run while this thread holds the backend's lock; that must not block it."""
    backend = ScriptedBackend(otherwise="one two")
    next(iter(backend.generate(ASK, config())))
    with backend._lock:
        gc.collect()
    assert backend.stats().running == 0


def test_delays_go_through_the_injected_wait() -> None:
    waited: list[float] = []
    backend = ScriptedBackend(
        ["one two", Reply(text="three", delay_s=9)],
        token_delay_s=5,
        load_delay_s=60,
        wait=lambda seconds, cancelled: waited.append(seconds),
    )
    said(backend.generate(ASK, config()))
    said(backend.generate(ASK, config()))
    assert waited == [60, 5, 5, 9]

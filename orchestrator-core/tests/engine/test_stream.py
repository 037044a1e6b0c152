from __future__ import annotations

import threading

import pytest
from orchestrator_core.backend import FinishReason, Token, Usage
from orchestrator_core.engine.stream import MAX_PENDING, AnswerStream
from orchestrator_core.errors import EngineLost


def test_a_reader_gets_tokens_then_the_end_with_reason_and_usage() -> None:
    stream = AnswerStream(1, on_cancel=lambda _: None)
    stream.put(Token("a"))
    stream.finish(FinishReason.STOP, Usage(3, 1, 2))
    assert stream.read() == Token("a")
    assert stream.read() is None
    assert (stream.finish_reason, stream.usage) == (FinishReason.STOP, Usage(3, 1, 2))
    assert stream.read() is None


def test_text_before_a_failure_is_read_first() -> None:
    stream = AnswerStream(1, on_cancel=lambda _: None)
    stream.put(Token("shown"))
    stream.fail(EngineLost("gone"))
    assert stream.read() == Token("shown")
    with pytest.raises(EngineLost, match="gone"):
        stream.read()


def test_a_slow_reader_costs_a_bounded_number_of_items_and_loses_nothing() -> None:
    stream = AnswerStream(1, on_cancel=lambda _: None)
    for number in range(10_000):
        stream.put(Token(f"{number} "))
    stream.finish(FinishReason.STOP, Usage(1, 10_000, 0))
    items = list(iter(stream.read, None))
    assert len(items) <= MAX_PENDING + 1
    assert "".join(token.text for token in items) == "".join(f"{number} " for number in range(10_000))
    assert sum(token.count for token in items) == 10_000


def test_cancelling_ends_the_reader_at_once_and_tells_the_engine_once() -> None:
    told: list[int] = []
    stream = AnswerStream(7, on_cancel=told.append)
    ended = []
    reader = threading.Thread(target=lambda: ended.append(stream.read()))
    reader.start()
    stream.cancel()
    stream.cancel()
    reader.join(10)
    assert ended == [None]
    assert stream.finish_reason is FinishReason.CANCELLED
    assert told == [7]
    stream.fail(EngineLost("late"))
    assert stream.read() is None


def test_an_answer_the_engine_has_finished_can_be_cancelled_until_it_is_read() -> None:
    told: list[int] = []
    stream = AnswerStream(7, on_cancel=told.append)
    stream.put(Token("a"))
    stream.put(Token("unread"))
    stream.finish(FinishReason.STOP, Usage(1, 2, 0))
    assert stream.read() == Token("a")
    stream.cancel()
    assert stream.read() is None
    assert stream.finish_reason is FinishReason.CANCELLED
    assert told == [], "the engine need not be told"


def test_cancelling_after_the_end_changes_nothing() -> None:
    told: list[int] = []
    stream = AnswerStream(7, on_cancel=told.append)
    stream.finish(FinishReason.LENGTH, Usage(1, 1, 0))
    assert stream.read() is None
    stream.cancel()
    assert stream.finish_reason is FinishReason.LENGTH
    assert told == []


def test_until_the_end_usage_counts_what_was_read() -> None:
    stream = AnswerStream(1, on_cancel=lambda _: None)
    stream.begin(prompt_tokens=9)
    stream.begin(cached_tokens=4)
    stream.put(Token("ab", 2))
    stream.put(Token("c"))
    stream.read()
    assert stream.usage == Usage(9, 2, 4)

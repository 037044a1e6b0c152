from __future__ import annotations

from typing import Any

import pytest
from orchestrator_core.engine import outbox as outboxes
from orchestrator_core.engine.outbox import FLUSH_S, PULSE_S, ReplyQueue


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(outboxes.time, "perf_counter", lambda: now[0])
    return now


def test_tokens_that_follow_fast_leave_together_and_in_order(clock: list[float]) -> None:
    sent: list[dict[str, Any]] = []
    outbox = ReplyQueue(sent.append)
    outbox.begun.append([1, 0])
    outbox.send_if_due()
    for number in range(3):
        outbox.tokens.append([1, str(number), 1])
        outbox.send_if_due()
    assert len(sent) == 1
    clock[0] += 2 * FLUSH_S
    outbox.send_if_due()
    assert [token[1] for token in sent[1]["tokens"]] == ["0", "1", "2"]


@pytest.mark.parametrize("field", ["begun", "done"])
def test_beginnings_and_ends_leave_at_once_with_what_waits(clock: list[float], field: str) -> None:
    sent: list[dict[str, Any]] = []
    outbox = ReplyQueue(sent.append)
    outbox.send()
    outbox.tokens.append([1, "held", 1])
    getattr(outbox, field).append([1])
    outbox.send_if_due()
    assert sent == [{"ev": "step", "begun": [], "done": [], "tokens": [[1, "held", 1]], field: [[1]]}]


def test_nothing_is_sent_when_there_is_nothing_to_say(clock: list[float]) -> None:
    sent: list[dict[str, Any]] = []
    ReplyQueue(sent.append).send()
    assert sent == []


def test_long_work_without_a_result_gives_a_sign_of_life(clock: list[float]) -> None:
    sent: list[dict[str, Any]] = []
    outbox = ReplyQueue(sent.append)
    outbox.send()
    outbox.pulse_if_due()
    assert sent == []
    clock[0] += PULSE_S
    outbox.pulse_if_due()
    outbox.pulse_if_due()
    assert sent == [{"ev": "pulse"}]

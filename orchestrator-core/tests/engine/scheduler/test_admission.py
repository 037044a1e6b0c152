"""Who may run, who waits, who is refused."""

from __future__ import annotations

import pytest
from orchestrator_core.engine.plan import Request
from orchestrator_core.errors import ContextLengthExceeded, Overloaded
from support.fake_kv import DOCUMENTS, engine, question


def test_a_request_waits_until_its_cells_are_free_and_blocks_those_behind_it() -> None:
    kv = engine(cells=300, window=300)
    kv.submit(Request(1, question(1, 100), max_new=100))
    kv.submit(Request(2, question(2, 150), max_new=50))
    kv.submit(Request(3, question(3, 10), max_new=10))
    for _ in range(20):
        kv.step(chunk=64)
    assert set(kv.computed) == {1}
    kv.run(chunk=64)
    assert kv.finished[0] == 1
    assert sorted(kv.finished) == [1, 2, 3]


def test_shared_cells_count_once_for_admission() -> None:
    kv = engine(cells=400, window=300)
    for number in range(6):
        kv.submit(Request(number, DOCUMENTS + question(number), max_new=20))
    while not kv.finished:
        kv.step(chunk=64)
    assert len(kv.computed) == 6, "six answers of 230 cells each fit in 400 because they share 200"


def test_a_prompt_over_the_window_is_refused_with_the_numbers() -> None:
    kv = engine(window=50)
    with pytest.raises(ContextLengthExceeded, match="50 tokens"):
        kv.submit(Request(1, question(1, 50), max_new=1))
    kv.submit(Request(2, question(2, 49), max_new=1))


def test_an_answer_is_cut_to_the_window() -> None:
    kv = engine(window=50)
    assert kv.scheduler.submit(Request(1, question(1, 40), max_new=1000)) == 10


def test_more_requests_than_the_queue_holds_are_refused() -> None:
    kv = engine(max_running=2, max_queue=1)
    for number in range(3):
        kv.submit(Request(number, question(number), max_new=1))
    with pytest.raises(Overloaded):
        kv.submit(Request(3, question(3), max_new=1))
    kv.run()
    kv.submit(Request(3, question(3), max_new=1))

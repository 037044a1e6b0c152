"""Requests that begin alike compute the beginning once."""

from __future__ import annotations

from orchestrator_core.engine.plan import Request
from support.fake_kv import DOCUMENTS, engine, question


def test_together_arriving_requests_prefill_a_common_beginning_once() -> None:
    kv = engine()
    for number in range(8):
        kv.submit(Request(number, DOCUMENTS + question(number), max_new=3))
    kv.run()
    assert sum(kv.computed.values()) == len(DOCUMENTS) + 8 * 10
    assert [kv.cached[number] for number in range(8)] == [0] + [len(DOCUMENTS)] * 7


def test_followers_go_on_as_soon_as_the_common_part_is_there_not_when_the_leader_is_done() -> None:
    kv = engine()
    kv.submit(Request(1, DOCUMENTS + question(1, 400), max_new=1))
    kv.submit(Request(2, DOCUMENTS + question(2), max_new=1))
    while 2 not in kv.cached:
        kv.step(chunk=30)
    assert kv.cached[2] == len(DOCUMENTS)


def test_a_request_with_nothing_in_common_passes_one_that_waits_for_another() -> None:
    kv = engine()
    kv.submit(Request(1, DOCUMENTS, max_new=1))
    kv.submit(Request(2, DOCUMENTS + question(2), max_new=1))
    kv.submit(Request(3, question(3), max_new=1))
    kv.step(chunk=205)
    assert 3 in kv.computed
    assert 2 not in kv.computed


def test_a_follower_takes_over_when_the_leader_is_cancelled() -> None:
    kv = engine()
    kv.submit(Request(1, DOCUMENTS + question(1), max_new=1))
    kv.submit(Request(2, DOCUMENTS + question(2), max_new=1))
    kv.step(chunk=64)
    kv.scheduler.cancel(1)
    kv.run(chunk=64)
    assert kv.cancelled == [1]
    assert kv.finished == [2]
    assert kv.cached[2] == 64, "what the leader had computed was thrown away"


def test_models_that_cannot_fork_share_nothing() -> None:
    kv = engine(sharing=False)
    kv.scheduler.prewarm(DOCUMENTS)
    for number in range(3):
        kv.submit(Request(number, DOCUMENTS, max_new=2))
    kv.run()
    assert sum(kv.computed.values()) == 3 * len(DOCUMENTS)
    assert kv.cells == 0

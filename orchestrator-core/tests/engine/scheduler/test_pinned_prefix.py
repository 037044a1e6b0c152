"""The prefix that is computed ahead and pinned, and what may follow it."""

from __future__ import annotations

from orchestrator_core.engine.plan import Request
from support.fake_kv import DOCUMENTS, engine, question


def test_a_prewarmed_prefix_is_pinned_and_found() -> None:
    kv = engine()
    kv.scheduler.prewarm(DOCUMENTS)
    kv.run()
    assert kv.pinned == DOCUMENTS
    kv.submit(Request(1, DOCUMENTS + question(1), max_new=1))
    kv.run()
    assert kv.cached[1] == len(DOCUMENTS)


def test_prewarming_waits_for_every_other_prefill() -> None:
    kv = engine()
    kv.scheduler.prewarm(DOCUMENTS)
    kv.submit(Request(1, question(1, 100), max_new=1))
    for _ in range(5):
        step = kv.step(chunk=20)
        assert [piece.request_id for piece in step.prefill] == [1]
    kv.run()
    assert kv.pinned == DOCUMENTS


def test_a_request_takes_over_what_is_being_prewarmed_and_nothing_is_computed_twice() -> None:
    kv = engine()
    kv.scheduler.prewarm(DOCUMENTS)
    kv.step(chunk=50)
    kv.submit(Request(1, DOCUMENTS + question(1), max_new=1))
    kv.run(chunk=50)
    assert kv.cached[1] == 50
    assert kv.scheduler.prefilled == len(DOCUMENTS) + 10
    assert kv.pinned == DOCUMENTS


def test_an_edited_document_costs_only_what_follows_the_edit() -> None:
    kv = engine()
    kv.scheduler.prewarm(DOCUMENTS)
    kv.run()
    edited = DOCUMENTS[:150] + question(1, 50)
    kv.scheduler.prewarm(edited)
    kv.run()
    assert kv.pinned == edited
    assert kv.scheduler.prefilled == len(DOCUMENTS) + 50


def test_of_several_edits_only_the_last_is_pinned() -> None:
    kv = engine()
    kv.scheduler.prewarm(question(1, 100))
    kv.step(chunk=10)
    kv.scheduler.prewarm(question(2, 100))
    kv.scheduler.prewarm(question(3, 100))
    kv.run()
    assert kv.pinned == question(3, 100)
    assert kv.scheduler.prefilled == 110


def test_what_follows_the_prefix_is_cached_after_it_but_not_pinned() -> None:
    kv = engine()
    going_on = DOCUMENTS + question(1, 60)
    kv.scheduler.prewarm(DOCUMENTS, going_on)
    assert kv.scheduler.load().ahead == len(going_on)
    kv.run()
    assert kv.scheduler.load().ahead == 0
    assert kv.pinned == DOCUMENTS
    assert kv.scheduler.prefilled == len(going_on)
    kv.submit(Request(1, going_on + question(2), max_new=1))
    kv.run()
    assert kv.cached[1] == len(going_on)


def test_an_edit_computes_the_conversation_anew_once() -> None:
    kv = engine()
    history = question(1, 60)
    kv.scheduler.prewarm(DOCUMENTS, DOCUMENTS + history)
    kv.run()
    edited = DOCUMENTS[:-10] + question(2, 15)
    for _ in range(3):
        kv.scheduler.prewarm(edited, edited + history)
        kv.run()
    assert kv.pinned == edited
    assert kv.scheduler.prefilled == len(DOCUMENTS) + 60 + 15 + 60


def test_a_question_comes_before_what_may_follow_the_prefix_and_uses_it() -> None:
    kv = engine()
    going_on = DOCUMENTS + question(1, 100)
    kv.scheduler.prewarm(DOCUMENTS, going_on)
    kv.step(chunk=len(DOCUMENTS))
    kv.step(chunk=40)
    kv.submit(Request(1, going_on + question(2), max_new=5))
    kv.submit(Request(2, question(3, 30), max_new=5))
    kv.run()
    assert kv.cached[1] == len(DOCUMENTS) + 40
    assert kv.scheduler.prefilled == len(going_on) + 10 + 30


def test_without_room_the_conversation_is_given_up_and_the_prefix_is_not() -> None:
    kv = engine(cells=300, window=300)
    kv.scheduler.prewarm(DOCUMENTS)
    kv.run()
    kv.submit(Request(1, DOCUMENTS + question(1), max_new=60))
    kv.step(chunk=64)
    kv.scheduler.prewarm(DOCUMENTS, DOCUMENTS + question(2, 90))
    kv.run(chunk=64)
    assert len(kv.sampled[1]) == 60
    assert kv.pinned == DOCUMENTS


def test_prewarming_never_takes_the_room_of_a_running_answer() -> None:
    kv = engine(cells=300, window=300)
    kv.submit(Request(1, question(1, 50), max_new=150))
    kv.step(chunk=64)
    kv.scheduler.prewarm(DOCUMENTS)
    kv.run(chunk=64)
    assert len(kv.sampled[1]) == 150
    assert kv.pinned == DOCUMENTS


def test_the_pin_gives_way_to_a_request_that_could_never_run_beside_it_and_comes_back() -> None:
    kv = engine(cells=300, window=300)
    kv.scheduler.prewarm(DOCUMENTS)
    kv.run()
    kv.submit(Request(1, question(1, 200), max_new=10))
    kv.run(chunk=64)
    assert kv.finished == [1]
    pinned = kv.scheduler.pinned
    assert pinned is not None
    assert pinned[1] == DOCUMENTS
    assert kv.tokens(pinned[0]) == DOCUMENTS


def test_a_restored_prefix_is_shared_like_a_computed_one() -> None:
    kv = engine()
    seq = kv.scheduler.restore_pin(DOCUMENTS)
    assert seq is not None
    kv.sequences[seq] = [(token, object()) for token in DOCUMENTS]
    kv.submit(Request(1, DOCUMENTS + question(1), max_new=1))
    kv.run()
    assert kv.cached[1] == len(DOCUMENTS)


def test_a_prefix_that_could_not_be_restored_leaves_nothing_behind() -> None:
    kv = engine()
    assert kv.scheduler.restore_pin(DOCUMENTS) is not None
    kv.scheduler.release_pin()
    kv.run()
    assert kv.scheduler.load().used == 0
    assert kv.scheduler.pinned is None

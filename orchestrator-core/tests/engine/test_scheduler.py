"""The scheduler against a KV cache on paper: fixed scenes, then random ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_core.engine.plan import Limits, Request
from orchestrator_core.engine.scheduler import Scheduler
from orchestrator_core.errors import ContextLengthExceeded, Overloaded
from support.fake_kv import FakeKv

DOCUMENTS = list(range(100, 300))
"""A prefix of 200 tokens."""


def engine(**limits: int | bool) -> FakeKv:
    return FakeKv(Scheduler(Limits(**{"cells": 2000, "window": 1000, **limits})))


def question(number: int, length: int = 10) -> list[int]:
    return [5000 + number * 100 + index for index in range(length)]


def test_a_request_is_prefilled_in_chunks_and_then_decoded_to_its_limit() -> None:
    kv = engine()
    kv.submit(Request(1, DOCUMENTS, max_new=5))
    kv.run(chunk=64)
    assert [len(step.prefill[0].tokens) for step in kv.steps if step.prefill] == [64, 64, 64, 8]
    assert len(kv.sampled[1]) == 5
    assert kv.finished == [1]


def test_only_answers_whose_prompt_is_done_count_as_decoding() -> None:
    kv = engine()
    kv.submit(Request(1, DOCUMENTS, max_new=5))
    kv.step(chunk=50)
    assert not kv.scheduler.decoding
    kv.step(chunk=200)
    assert kv.scheduler.decoding
    kv.run()
    assert not kv.scheduler.decoding


def test_a_running_answer_decodes_in_every_step_of_a_long_prefill() -> None:
    kv = engine()
    kv.submit(Request(1, question(1), max_new=50))
    kv.step()
    kv.submit(Request(2, DOCUMENTS, max_new=5))
    before = len(kv.sampled[1])
    steps = [kv.step(chunk=20) for _ in range(10)]
    assert all(step.prefill for step in steps)
    assert len(kv.sampled[1]) == before + 10


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


def test_a_later_turn_finds_the_whole_conversation_cached() -> None:
    kv = engine()
    kv.submit(Request(1, DOCUMENTS, max_new=4))
    kv.run()
    conversation = DOCUMENTS + kv.sampled[1]
    kv.submit(Request(2, conversation + question(2), max_new=1))
    kv.run()
    # The last token of an answer is sampled, but never computed.
    assert kv.cached[2] == len(conversation) - 1


def test_the_same_prompt_again_computes_one_token() -> None:
    kv = engine()
    for number in (1, 2):
        kv.submit(Request(number, DOCUMENTS, max_new=1))
        kv.run()
    assert kv.computed[2] == 1


def test_finished_conversations_make_room_least_recently_used_first() -> None:
    kv = engine(cells=500, window=400)
    for number in (1, 2):
        kv.submit(Request(number, question(number, 100), max_new=1))
        kv.run()
    kv.submit(Request(3, question(1, 100), max_new=1))  # uses the first one again
    kv.run()
    kv.submit(Request(4, question(4, 320), max_new=50))
    kv.run()
    for number, kept in ((1, True), (2, False)):
        kv.submit(Request(10 + number, question(number, 100), max_new=1))
        kv.run()
        assert (kv.cached[10 + number] > 0) is kept


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


def test_a_cancelled_request_is_out_of_the_next_step_and_its_cells_can_be_taken() -> None:
    kv = engine(cells=300, window=300)
    kv.submit(Request(1, question(1, 100), max_new=150))
    kv.step(chunk=128)
    kv.submit(Request(2, question(2, 100), max_new=150))
    kv.step(chunk=128)
    assert kv.scheduler.load().waiting == 1
    assert kv.scheduler.cancel(1)
    step = kv.step(chunk=128)
    assert step.cancelled == [1]
    assert [piece.request_id for piece in step.pieces] == [2]
    assert kv.scheduler.cancel(1) is False


def test_cancelling_while_a_step_is_computed_takes_effect_in_the_next() -> None:
    kv = engine()
    kv.submit(Request(1, question(1), max_new=9))
    step = kv.begin(chunk=64)
    kv.scheduler.cancel(1)
    kv.end(step)
    assert kv.step().cancelled == [1]
    assert kv.scheduler.load().running == 0


def test_a_waiting_request_can_be_cancelled() -> None:
    kv = engine(max_running=1)
    kv.submit(Request(1, question(1), max_new=9))
    kv.submit(Request(2, question(2), max_new=9))
    kv.step()
    kv.scheduler.cancel(2)
    kv.run()
    assert kv.finished == [1]
    assert kv.cancelled == [2]


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


def test_models_that_cannot_fork_share_nothing() -> None:
    kv = engine(sharing=False)
    kv.scheduler.prewarm(DOCUMENTS)
    for number in range(3):
        kv.submit(Request(number, DOCUMENTS, max_new=2))
    kv.run()
    assert sum(kv.computed.values()) == 3 * len(DOCUMENTS)
    assert kv.cells == 0


def test_a_conversation_nobody_goes_on_with_is_dropped_after_so_many_steps() -> None:
    kv = engine(idle_steps=50)
    kv.submit(Request(1, question(1, 100), max_new=1))
    kv.run()
    kv.submit(Request(2, question(2), max_new=45))
    kv.run()
    kv.submit(Request(3, question(1, 100), max_new=1))  # in time
    kv.run()
    assert kv.cached[3] == 99
    kv.submit(Request(4, question(4), max_new=60))
    kv.run()
    kv.submit(Request(5, question(1, 100), max_new=1))  # too late
    kv.run()
    assert kv.cached[5] == 0


def test_with_no_steps_to_stay_nothing_is_kept() -> None:
    kv = engine(idle_steps=0)
    kv.submit(Request(1, question(1, 100), max_new=1))
    kv.run()
    assert kv.cells == 0


def test_many_turns_do_not_leave_sequences_behind_that_others_contain() -> None:
    kv = engine()
    prompt = DOCUMENTS
    for turn in range(10):
        kv.submit(Request(turn, prompt, max_new=3))
        kv.run()
        prompt = prompt + kv.sampled[turn][:-1] + question(turn)
    assert len(kv.sequences) == 1


def test_the_same_question_asked_again_and_again_is_kept_once() -> None:
    kv = engine()
    for number in range(5):
        kv.submit(Request(number, DOCUMENTS, max_new=1))
        kv.run()
    assert kv.cells == len(DOCUMENTS)


# Random scenes

tokens = st.integers(0, 2)
prompts = st.one_of(
    st.lists(tokens, min_size=1, max_size=30),
    st.tuples(st.integers(1, 60), st.lists(tokens, min_size=1, max_size=8)).map(
        lambda pair: DOCUMENTS[: pair[0]] + pair[1]
    ),
)
events = st.one_of(
    st.tuples(st.just("submit"), prompts, st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("cancel midway"), st.integers(0, 30)),
    st.tuples(st.just("prewarm"), st.integers(1, 80)),
    st.tuples(st.just("prewarm_on"), st.integers(1, 80), st.integers(1, 80)),
    st.tuples(st.just("step"), st.integers(1, 40)),
)


@settings(max_examples=400, deadline=None)
@given(
    scene=st.lists(events, max_size=60),
    cells=st.integers(100, 260),
    running=st.integers(1, 5),
    cached=st.integers(0, 4),
    idle=st.sampled_from([0, 5, 10**9]),
    chunk=st.integers(1, 40),
)
def test_whatever_arrives_ends_is_cancelled_or_prewarmed(
    scene: list[tuple], cells: int, running: int, cached: int, idle: int, chunk: int
) -> None:
    """`FakeKv` checks every step: capacity, positions, contents, counts, and that each running answer decodes."""
    limits = Limits(
        cells=cells,
        window=100,
        max_running=running,
        max_queue=40,
        max_cached=cached,
        idle_steps=idle,
        min_share=4,
    )
    kv = FakeKv(Scheduler(limits))
    for number, (kind, *details) in enumerate(scene):
        if kind == "submit":
            prompt, max_new, ends_after = details
            if len(kv.requests) - len(kv.finished) - len(kv.cancelled) < running + 40:
                kv.answers[number] = ends_after
                kv.submit(Request(number, list(prompt), max_new))
        elif kind == "cancel":
            kv.scheduler.cancel(details[0])
        elif kind == "cancel midway":
            step = kv.begin(chunk)
            kv.scheduler.cancel(details[0])
            kv.end(step)
        elif kind == "prewarm":
            kv.scheduler.prewarm(DOCUMENTS[: details[0]])
        elif kind == "prewarm_on":
            documents = DOCUMENTS[: details[0]]
            kv.scheduler.prewarm(documents, documents + question(number, details[1]))
        else:
            kv.step(details[0])
    kv.run(chunk)
    assert sorted(kv.finished + kv.cancelled) == sorted(kv.requests), "somebody was forgotten"
    for request_id in kv.finished:
        prompt = kv.requests[request_id].tokens
        assert kv.computed[request_id] + kv.cached[request_id] == len(prompt), "computed twice or not at all"
    load = kv.scheduler.load()
    assert (load.running, load.waiting) == (0, 0)
    pinned = kv.scheduler.pinned
    assert load.used == (len(pinned[1]) if pinned else 0)
    kv.scheduler.drop_cached()
    kv.scheduler.release_pin()
    assert kv.scheduler.load().cached == 0, "cells are lost"


@settings(max_examples=200, deadline=None)
@given(
    shared=st.integers(20, 90),
    tails=st.lists(st.integers(1, 20), min_size=2, max_size=8),
    chunk=st.integers(1, 64),
    running=st.integers(1, 8),
)
def test_a_prefix_shared_by_all_arrivals_is_computed_once(
    shared: int, tails: list[int], chunk: int, running: int
) -> None:
    kv = FakeKv(Scheduler(Limits(cells=2000, window=500, max_running=running, min_share=16)))
    for number, tail in enumerate(tails):
        kv.submit(Request(number, DOCUMENTS[:shared] + question(number, tail), max_new=3))
    kv.run(chunk)
    assert sum(kv.computed.values()) == shared + sum(tails)


@settings(max_examples=100, deadline=None)
@given(
    first=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    cells=st.integers(100, 300),
    running=st.integers(1, 4),
)
def test_requests_of_one_size_are_admitted_in_the_order_they_came(
    first: list[int], cells: int, running: int
) -> None:
    kv = FakeKv(Scheduler(Limits(cells=cells, window=100, max_running=running)))
    for number, length in enumerate(first):
        kv.submit(Request(number, question(number, length), max_new=5))
    kv.run(chunk=16)
    assert list(kv.computed) == sorted(kv.computed)

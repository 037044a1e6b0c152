"""Random arrivals, ends, cancellations and prewarmings."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_core.engine.plan import EngineLimits, Request
from orchestrator_core.engine.scheduler import Scheduler
from support.fake_kv import DOCUMENTS, FakeKv, question

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
    limits = EngineLimits(
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
    kv = FakeKv(Scheduler(EngineLimits(cells=2000, window=500, max_running=running, min_share=16)))
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
    kv = FakeKv(Scheduler(EngineLimits(cells=cells, window=100, max_running=running)))
    for number, length in enumerate(first):
        kv.submit(Request(number, question(number, length), max_new=5))
    kv.run(chunk=16)
    assert list(kv.computed) == sorted(kv.computed)

"""Updates that are too large for one message go in parts that each stand by themselves."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_context.documents.crdt import SharedLines
from shared_context.documents.line_diff import LineChange
from shared_context.documents.update_format import check_update
from shared_context.exchange.update_pages import first_page

LOG, OTHER = "SESSION_LOG.md", "house/SESSION_LOG.md"


def pulled(sender: SharedLines, receiver: SharedLines, most: int) -> list[int]:
    """Bring the receiver up to date in parts; their sizes."""
    sizes = []
    while True:
        update = sender.update_since(receiver.state_vector())
        page = first_page(update, most)
        before = receiver.state_vector()
        receiver.receive(page)
        sizes.append(len(page))
        if page == update:
            return sizes
        assert receiver.state_vector() != before, "a part brought nothing"
        assert len(sizes) < 10_000


def same(one: SharedLines, other: SharedLines) -> bool:
    return all(one.lines(path) == other.lines(path) for path in (LOG, OTHER)) and one.update_since(
        one.state_vector()
    ) == other.update_since(other.state_vector())


def test_a_small_update_goes_as_it_is() -> None:
    lines = SharedLines()
    lines.change(LOG, [LineChange(0, 0, ("one", "two"))], "x")
    update = lines.update_since()
    assert first_page(update) is update
    assert first_page(update, len(update)) == update


def test_one_very_large_insertion_is_cut_between_its_lines() -> None:
    sender, receiver = SharedLines(), SharedLines()
    sender.change(LOG, [LineChange(0, 0, tuple(f"{number} {'x' * 90}" for number in range(1000)))], "x")
    sizes = pulled(sender, receiver, 5000)
    assert same(sender, receiver)
    assert len(sizes) > 15 and max(sizes) < 5500


def test_a_line_larger_than_a_part_goes_alone() -> None:
    sender, receiver = SharedLines(), SharedLines()
    sender.change(LOG, [LineChange(0, 0, ("a", "x" * 20_000, "b"))], "x")
    sizes = pulled(sender, receiver, 1000)
    assert same(sender, receiver)
    assert max(sizes) > 20_000


def test_deletions_come_with_the_last_part() -> None:
    sender, receiver = SharedLines(), SharedLines()
    sender.change(LOG, [LineChange(0, 0, tuple(f"line {number}" for number in range(300)))], "x")
    pulled(sender, receiver, 10**6)
    sender.change(LOG, [LineChange(10, 200, tuple(f"new {number}" for number in range(300)))], "x")
    assert len(pulled(sender, receiver, 500)) > 2
    assert same(sender, receiver)


def edited(lines: SharedLines, rng: random.Random, author: str) -> None:
    path = rng.choice((LOG, OTHER))
    count = len(lines.lines(path))
    start = rng.randint(0, count)
    stop = rng.randint(start, min(count, start + 3))
    new = tuple(f"{author}{rng.randint(0, 999)} ✓" * rng.randint(0, 4) for _ in range(rng.randint(0, 5)))
    lines.change(path, [LineChange(start, stop, new)], author)


def mingled(seed: int, replicas: int, edits: int) -> Sequence[SharedLines]:
    """Replicas that edited and exchanged in a random order, so that their lines build on each other."""
    rng = random.Random(seed)
    fleet = [SharedLines() for _ in range(replicas)]
    for _ in range(edits):
        edited(rng.choice(fleet), rng, rng.choice("abc"))
        if rng.random() < 0.5:
            one, other = rng.sample(fleet, 2)
            one.receive(other.update_since(one.state_vector()))
    return fleet


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.integers(2, 4), st.integers(1, 60), st.integers(1, 400))
def test_parts_of_any_size_bring_the_same_as_the_whole(
    seed: int, replicas: int, edits: int, most: int
) -> None:
    sender, *others = mingled(seed, replicas, edits)
    for other in others:
        sender.receive(other.update_since(sender.state_vector()))
    check_update(sender.update_since())
    for receiver in (*others, SharedLines()):
        pulled(sender, receiver, most)
        assert same(sender, receiver)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 200))
def test_a_receiver_that_writes_between_the_parts_ends_equal(seed: int, most: int) -> None:
    rng = random.Random(seed)
    sender, receiver = mingled(seed, 2, 30)
    for _ in range(5):
        receiver.receive(first_page(sender.update_since(receiver.state_vector()), most))
        edited(receiver, rng, "r")
        edited(sender, rng, "s")
    pulled(sender, receiver, most)
    pulled(receiver, sender, most)
    assert same(sender, receiver)


@pytest.mark.slow
def test_a_memory_larger_than_any_message_arrives() -> None:
    sender, receiver = SharedLines(), SharedLines()
    for number in range(4):
        path = f"p{number}/SESSION_LOG.md"
        sender.change(path, [LineChange(0, 0, tuple(f"{n} " + "y" * 1000 for n in range(4000)))], "x")
    most = 3 * 1024 * 1024
    sizes = pulled(sender, receiver, most)
    assert len(sizes) > 4 and max(sizes) <= most + 2000
    for number in range(4):
        assert sender.lines(f"p{number}/SESSION_LOG.md") == receiver.lines(f"p{number}/SESSION_LOG.md")

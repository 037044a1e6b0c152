"""The bounded cache: what goes first, and what it never exceeds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.remembered import Remembered


def test_a_value_is_made_once() -> None:
    made: list[str] = []
    cache: Remembered[str, str] = Remembered(2)
    for _ in range(3):
        assert cache.get("a", lambda: made.append("a") or "value") == "value"  # type: ignore[func-returns-value]
    assert made == ["a"]


def test_the_least_recently_used_goes_first() -> None:
    cache: Remembered[str, int] = Remembered(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.find("a") == 1
    cache.put("c", 3)
    assert (cache.find("a"), cache.find("b"), cache.find("c")) == (1, None, 3)


def test_what_is_larger_than_the_whole_is_not_kept_and_drops_nothing() -> None:
    cache: Remembered[str, str] = Remembered(10, len)
    cache.put("a", "x" * 5)
    cache.put("big", "x" * 11)
    assert cache.find("big") is None
    assert cache.find("a") == "x" * 5


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 12)), max_size=40))
def test_the_sum_of_sizes_stays_within_its_bound(puts: list[tuple[str, int]]) -> None:
    cache: Remembered[str, str] = Remembered(10, len)
    for key, size in puts:
        cache.put(key, "x" * size)
        kept = [cache.find(name) for name in "abcdef"]
        assert sum(len(value) for value in kept if value) <= 10
        assert cache.find(key) == ("x" * size if size <= 10 else None)
    cache.clear()
    assert len(cache) == 0

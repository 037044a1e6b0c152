from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.prompt.budget import (
    DOCUMENT_WEIGHTS,
    answer_room,
    least_answer,
    rounded_up,
    shares,
    steady_start,
)

costs_lists = st.lists(st.integers(0, 60), max_size=60)
needs_maps = st.dictionaries(st.sampled_from([*DOCUMENT_WEIGHTS]), st.integers(0, 5000))


@given(st.integers(0, 5000), needs_maps)
def test_shares_never_exceed_the_total(total: int, needs: dict[str, int]) -> None:
    given_tokens = shares(total, needs, DOCUMENT_WEIGHTS)
    assert set(given_tokens) == set(needs)
    assert sum(given_tokens.values()) <= total
    assert all(tokens >= 0 for tokens in given_tokens.values())


@given(st.integers(0, 5000), needs_maps)
def test_when_all_fits_with_rounding_everybody_gets_what_is_needed(spare: int, needs: dict[str, int]) -> None:
    total = sum(needs.values()) * 2 + 16 * len(needs) + spare
    given_tokens = shares(total, needs, DOCUMENT_WEIGHTS)
    assert all(given_tokens[name] >= need for name, need in needs.items())


def test_an_unused_share_flows_to_the_others() -> None:
    small = shares(1300, {"PROJECT_CONTEXT.md": 9999, "SESSION_LOG.md": 10}, DOCUMENT_WEIGHTS)
    large = shares(1300, {"PROJECT_CONTEXT.md": 9999, "SESSION_LOG.md": 9999}, DOCUMENT_WEIGHTS)
    assert small["PROJECT_CONTEXT.md"] > 1200
    assert large["PROJECT_CONTEXT.md"] == 1300 * 4 // 5


def test_a_line_more_in_one_document_does_not_move_the_share_of_another() -> None:
    project = {
        shares(1600, {"PROJECT_CONTEXT.md": 9999, "SESSION_LOG.md": 201 + n}, DOCUMENT_WEIGHTS)[
            "PROJECT_CONTEXT.md"
        ]
        for n in range(99)
    }
    assert len(project) == 1


def test_a_document_without_text_gets_nothing() -> None:
    assert shares(100, {"PROJECT_CONTEXT.md": 0}, DOCUMENT_WEIGHTS) == {"PROJECT_CONTEXT.md": 0}


@given(costs_lists, st.integers(0, 600), st.integers(0, 10_000))
def test_what_is_kept_fits_and_is_as_much_as_half_of_what_could_be(
    costs: list[int], budget: int, first: int
) -> None:
    start = steady_start(costs, budget, first)
    kept = sum(costs[start:])
    assert 0 <= start <= len(costs)
    assert kept <= budget
    if start > 0 and kept < budget // 2:
        assert kept + costs[start - 1] > budget, "older ones would have fitted"


@given(costs_lists, st.integers(0, 600))
def test_the_choice_does_not_depend_on_how_much_was_loaded(costs: list[int], budget: int) -> None:
    """The same conversation, seen whole or with its oldest turns left unread."""
    whole = steady_start(costs, budget)
    for unread in range(whole + 1):
        if unread and sum(costs[unread:]) <= budget:
            continue
        assert unread + steady_start(costs[unread:], budget, unread) == whole


def test_the_first_kept_turn_stays_for_many_turns() -> None:
    """A conversation of 400 equal turns of which 20 fit: the prefix changes every 8 turns or so,
    not every turn, and never goes back."""
    starts = [steady_start([50] * turns, 1000) for turns in range(1, 400)]
    changes = sum(a != b for a, b in pairwise(starts))
    assert starts == sorted(starts)
    assert changes <= 400 / 8
    kept = [turns - start for turns, start in zip(range(1, 400), starts, strict=True)]
    assert min(kept[20:]) >= 10


@given(st.lists(st.integers(1, 100), min_size=40, max_size=200))
def test_the_first_kept_turn_changes_seldom_whatever_the_turns_cost(costs: list[int]) -> None:
    starts = [steady_start(costs[:turns], 1000) for turns in range(1, len(costs) + 1)]
    changes = sum(a != b for a, b in pairwise(starts))
    assert starts == sorted(starts)
    assert changes <= 2 + sum(costs) / 200


@given(st.integers(64, 100_000), st.integers(1, 1_000_000), st.integers(0, 100_000), st.booleans())
def test_prompt_and_answer_always_fit_the_window(
    window: int, wanted: int, needed: int, explicit: bool
) -> None:
    room = answer_room(window, wanted, explicit=explicit, needed=needed)
    if room is None:
        assert needed + min(wanted, least_answer(window)) > window or (explicit and needed + wanted > window)
        return
    assert 1 <= room.max_new_tokens <= wanted
    assert needed + room.max_new_tokens <= window
    assert room.max_new_tokens == wanted if explicit else room.max_new_tokens <= max(window // 4, 1)
    assert room.lowered_from == (wanted if room.max_new_tokens < wanted else None)


@pytest.mark.parametrize(("tokens", "rounded"), [(0, 0), (1, 64), (64, 64), (65, 128)])
def test_rounding_is_in_sixteenths_of_the_window(tokens: int, rounded: int) -> None:
    assert rounded_up(tokens, 1024) == rounded

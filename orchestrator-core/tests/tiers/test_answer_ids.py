"""Ids that two tiers make alike, and answers that never share one."""

from __future__ import annotations

from orchestrator_core.tiers import answer_ids


def test_two_tiers_make_the_same_ids() -> None:
    assert answer_ids.run_id("m-1", 0) == answer_ids.run_id("m-1", 0)
    assert answer_ids.own_answer("r", "desktop") == answer_ids.own_answer("r", "desktop")


def test_attempts_and_wishes_to_answer_again_are_runs_of_their_own() -> None:
    runs = {
        answer_ids.run_id(message, attempt, former)
        for message in ("m-1", "m-2")
        for attempt in (0, 1)
        for former in (None, "a-1", "a-2")
    }
    assert len(runs) == 12


def test_every_tier_has_an_answer_of_its_own_that_knows_what_it_stands_for() -> None:
    home = answer_ids.own_answer("r", "desktop")
    away = answer_ids.own_answer("r", "vps")
    handed_over = answer_ids.taken_over("r", "vps", "desktop")
    handed_back = answer_ids.taken_over("r", "desktop", "vps")
    assert len({one.message_id for one in (home, away, handed_over, handed_back)}) == 4
    assert home.supersedes is None
    assert away.supersedes == handed_over.supersedes == home.message_id
    assert handed_back.supersedes == away.message_id


def test_an_answer_given_again_at_home_names_the_former_one() -> None:
    assert answer_ids.own_answer("r", "desktop", "a-1").supersedes == "a-1"

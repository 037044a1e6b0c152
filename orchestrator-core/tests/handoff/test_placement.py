"""Where items go in the documents, and what of the documents stays as it was."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.handoff.item import HandoffItem, Kind, item_id
from orchestrator_core.handoff.item_line import parse
from orchestrator_core.handoff.placement import DOCUMENTS, placed_items, updated
from shared_context.documents.document_names import BRIEFING, PORTFOLIO, PROJECT
from shared_context.documents.starters import starter_text

TODAY = date(2026, 11, 30)


def item(kind: Kind, text: str, **fields: object) -> HandoffItem:
    return HandoffItem(kind, text, text, "m1", **fields)  # type: ignore[arg-type]


def texts_of(document: str, text: str, section: str) -> list[str]:
    return [placed.line.text for placed in placed_items(document, text) if placed.section.name == section]


@pytest.mark.parametrize(
    ("kind", "document", "section"),
    [
        (Kind.TODO, BRIEFING, "next"),
        (Kind.QUESTION, BRIEFING, "questions"),
        (Kind.DONE, BRIEFING, "now"),
        (Kind.DECIDED, PROJECT, "decisions"),
        (Kind.FACT, PROJECT, "facts"),
        (Kind.OWNER, PORTFOLIO, "owner"),
    ],
)
def test_each_kind_has_its_place(kind: Kind, document: str, section: str) -> None:
    for name in DOCUMENTS:
        before = starter_text(name)
        after = updated(name, before, [item(kind, "The one thing")], TODAY)
        if name == document:
            assert any("The one thing" in text for text in texts_of(name, after, section))
        else:
            assert after == before


def test_the_same_items_again_change_nothing() -> None:
    items = [item(Kind.TODO, "a task"), item(Kind.QUESTION, "a question?"), item(Kind.DONE, "a fix")]
    once = updated(BRIEFING, starter_text(BRIEFING), items, TODAY)
    assert updated(BRIEFING, once, items, TODAY) == once


def test_tasks_stay_until_they_are_settled_and_the_most_urgent_comes_first() -> None:
    text = updated(BRIEFING, starter_text(BRIEFING), [item(Kind.TODO, "someday")], TODAY)
    soon = item(Kind.TODO, "soon", due=date(2026, 12, 24))
    first = item(Kind.TODO, "sooner", due=date(2026, 12, 3))
    text = updated(BRIEFING, text, [soon, first], date(2026, 12, 1))
    assert texts_of(BRIEFING, text, "next") == ["sooner", "soon", "someday"]
    for n in range(40):
        text = updated(BRIEFING, text, [item(Kind.DONE, f"chatter {n}")], TODAY)
    assert texts_of(BRIEFING, text, "next") == ["sooner", "soon", "someday"]
    text = updated(BRIEFING, text, [item(Kind.DONE, "did it", resolves=first.item_id)], TODAY)
    assert texts_of(BRIEFING, text, "next") == ["soon", "someday"]


def test_a_box_that_was_checked_by_hand_leaves_at_the_next_handoff() -> None:
    text = "# B\n\n## Next\n\n- [x] done by hand\n- [ ] still open\n"
    text = updated(BRIEFING, text, [item(Kind.DONE, "something")], TODAY)
    assert texts_of(BRIEFING, text, "next") == ["still open"]


def test_now_is_the_last_sessions() -> None:
    text = updated(BRIEFING, starter_text(BRIEFING), [item(Kind.DONE, "first")], TODAY)
    text = updated(BRIEFING, text, [item(Kind.DONE, "second")], TODAY)
    assert texts_of(BRIEFING, text, "now") == ["second"]
    assert updated(BRIEFING, text, [item(Kind.TODO, "x")], TODAY).count("second") == 1


def test_a_decision_that_was_replaced_is_struck_with_its_day() -> None:
    old = item(Kind.DECIDED, "The review is on Tuesday")
    text = updated(PROJECT, starter_text(PROJECT), [old], TODAY)
    new = item(Kind.DECIDED, "The review is on Thursday", resolves=old.item_id)
    text = updated(PROJECT, text, [new], date(2026, 12, 1))
    assert "- ~~2026-11-30: The review is on Tuesday~~ (until 2026-12-01)" in text
    assert "- 2026-12-01: The review is on Thursday" in text


def test_a_section_called_otherwise_is_found_and_a_missing_one_made() -> None:
    german = "# Stand\n\n## Aufgaben\n\n- [ ] Milch\n"
    text = updated(BRIEFING, german, [item(Kind.TODO, "Brot"), item(Kind.QUESTION, "Wann?")], TODAY)
    assert texts_of(BRIEFING, text, "next") == ["Milch", "Brot"]
    assert "## Open questions" in text and "## Next" not in text


def test_lines_of_earlier_versions_lose_their_fence() -> None:
    old = (
        "# B\n\n## Next\n\n<!-- from sessions: the next handoff rewrites what stands up to the end mark -->\n"
        "- buy tea\n<!-- end -->\n"
    )
    text = updated(BRIEFING, old, [item(Kind.TODO, "buy milk")], TODAY)
    assert texts_of(BRIEFING, text, "next") == ["buy tea", "buy milk"]
    assert "<!-- from" not in text and "<!-- end" not in text


def test_a_heading_in_a_listing_is_no_section() -> None:
    text = "# B\n\n```\n## Next\n- [ ] in a listing\n```\n"
    after = updated(BRIEFING, text, [item(Kind.TODO, "real")], TODAY)
    assert after.startswith(text)
    assert texts_of(BRIEFING, after, "next") == ["real"]


LINE = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=30)


@given(st.lists(LINE, max_size=20), st.lists(st.tuples(st.sampled_from(list(Kind)), LINE), max_size=6))
def test_what_the_owner_wrote_stays(lines: list[str], said: list[tuple[Kind, str]]) -> None:
    before = "\n".join(lines)
    items = [item(kind, text or "x") for kind, text in said]
    for name in DOCUMENTS:
        after = updated(name, before, items, TODAY).split("\n")
        for line in lines:
            closed = (entry := parse(line)) is not None and entry.state != "open"
            if line.strip() and not closed and parse(line) is None and "(" not in line:
                assert line in after


def test_ids_depend_on_words_and_place_only() -> None:
    assert item_id("m", "k", "q") == item_id("m", "k", "q") != item_id("m", "k", "r")

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.handoff.briefing import BEGIN, CARRIED_MOST, END, unified_diff, updated_briefing
from orchestrator_core.handoff.extract import Extract, extract
from shared_context.documents.document_names import BRIEFING
from shared_context.documents.starters import starter_text
from support.prompt_data import conversation

STARTER = starter_text(BRIEFING)


def facts(*texts: str) -> Extract:
    return extract(conversation(texts))


def test_the_starters_placeholders_give_way() -> None:
    text = updated_briefing(STARTER, facts("We decided on tea. TODO: buy tea. Not sure yet which kind."))
    assert "(what is being worked on" not in text
    assert "(the first thing to do" not in text
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        "- We decided on tea.",
        "- TODO: buy tea.",
        "- Not sure yet which kind.",
    ]


def test_a_session_without_facts_changes_nothing() -> None:
    assert updated_briefing(STARTER, Extract()) == STARTER
    assert unified_diff(STARTER, STARTER, BRIEFING) == ""


def test_the_next_session_replaces_now_and_carries_what_is_open() -> None:
    first = updated_briefing(STARTER, facts("We decided on tea. TODO: buy green tea from Hansen."))
    second = updated_briefing(first, facts("We settled on two cups. I need to wash the cups."))
    assert "We decided on tea." not in second
    assert "We settled on two cups." in second
    assert "TODO: buy green tea from Hansen." in second
    assert second.count(BEGIN) == second.count(END) == 2


def test_a_task_leaves_when_it_was_done() -> None:
    first = updated_briefing(STARTER, facts("TODO: buy green tea from Hansen."))
    second = updated_briefing(first, facts("I bought the green tea from Hansen."))
    assert "TODO: buy" not in second
    assert "I bought the green tea from Hansen." in second


def test_the_same_session_twice_changes_nothing_more() -> None:
    found = facts("We decided on tea. TODO: buy tea. Not sure yet which kind.")
    once = updated_briefing(STARTER, found)
    assert updated_briefing(once, found) == once


def test_what_is_carried_is_bounded() -> None:
    text = STARTER
    for n in range(50):
        text = updated_briefing(text, facts(f"TODO: task{n} about subject{n} with detail{n}."))
    assert sum(line.startswith("- TODO") for line in text.splitlines()) == CARRIED_MOST
    assert "task49" in text


def test_headings_in_other_words_are_used_and_missing_ones_added() -> None:
    own = "# Stand der Dinge\n\n## Nächste Schritte\n\n1. Ruhe bewahren\n"
    text = updated_briefing(own, facts("Wir haben uns für Tee entschieden. Ich muss noch Tee kaufen."))
    assert text.index("1. Ruhe bewahren") < text.index("- Ich muss noch Tee kaufen.") < text.index("## Now")
    assert "## Next\n" not in text


def test_headings_in_code_are_no_headings() -> None:
    own = "# B\n\n```\n## Next\n```\n\nText.\n"
    text = updated_briefing(own, facts("TODO: buy tea."))
    assert text.startswith(own)


def test_a_block_without_its_end_is_left_alone() -> None:
    own = f"# B\n\n## Next\n\n{BEGIN}\n- old\n\nmine\n"
    text = updated_briefing(own, facts("TODO: buy tea."))
    assert "- old\n\nmine\n" in text
    assert "- TODO: buy tea." in text


@given(
    st.lists(st.sampled_from(["## Next", "## Now", BEGIN, END, "- x", "", "```", "text", "# A", "### Open"]))
)
def test_lines_outside_the_blocks_are_never_lost(lines: list[str]) -> None:
    own = "\n".join(lines)
    updated = updated_briefing(own, facts("We decided on tea. TODO: buy tea.")).splitlines()
    place = 0
    for line in (one for one in lines if one and one not in (BEGIN, END, "- x")):
        assert line in updated[place:]
        place = updated.index(line, place) + 1

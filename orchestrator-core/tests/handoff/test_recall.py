"""Realistic sessions: the facts a person would note are in the draft, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from orchestrator_core.handoff.briefing import BEGIN, END, updated_briefing
from orchestrator_core.handoff.entry import BY_ASSISTANT, HEADINGS, NAME_HEADINGS, NOTHING, entry_text
from orchestrator_core.handoff.extract import Kind, extract
from orchestrator_core.handoff.units import one_line
from shared_context.conversations.messages import Message
from shared_context.documents.document_names import BRIEFING
from shared_context.documents.starters import starter_text
from support.prompt_data import message

SESSIONS = sorted((Path(__file__).parent / "sessions").glob("*.yaml"))
SECTIONS = {
    "asked": Kind.ASKED,
    "decided": Kind.DECIDED,
    "done": Kind.DONE,
    "todo": Kind.TODO,
    "questions": Kind.OPEN,
}


@pytest.fixture(params=SESSIONS, ids=lambda path: path.stem)
def session(request: pytest.FixtureRequest) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(request.param.read_text())
    return loaded


def messages_of(session: dict[str, Any]) -> list[Message]:
    return [message(n, *next(iter(turn.items()))) for n, turn in enumerate(session["turns"])]


def test_every_expected_fact_is_found_as_what_it_is(session: dict[str, Any]) -> None:
    found = extract(messages_of(session))
    for section, kind in SECTIONS.items():
        texts = [fact.text for fact in found.of(kind)]
        missing = [one for one in session["expect"][section] if one_line(one) not in texts]
        assert not missing, (section, texts)
    names = [name.text for name in found.names]
    assert [one for one in session["expect"]["named"] if one not in names] == []


def test_decisions_are_hardly_ever_made_up(session: dict[str, Any]) -> None:
    """What is taken for a decision without being one misleads every later session."""
    found = {fact.text for fact in extract(messages_of(session)).of(Kind.DECIDED)}
    expected = {one_line(one) for one in session["expect"]["decided"]}
    assert len(found - expected) <= 1, found - expected


def test_what_must_stay_out_is_not_in_it(session: dict[str, Any]) -> None:
    found = extract(messages_of(session))
    written = entry_text(found) + updated_briefing(starter_text(BRIEFING), found)
    assert [text for text in session["never"] if text in written] == []


def test_every_sentence_is_word_for_word_or_fixed(session: dict[str, Any]) -> None:
    messages = messages_of(session)
    entry = entry_text(extract(messages))
    said = [one_line(one.content) for one in messages]
    frame = {*HEADINGS.values(), "", NOTHING}
    for line in entry.splitlines():
        if line in frame:
            continue
        names = next((h for h in NAME_HEADINGS.values() if line.startswith(f"{h} ")), None)
        if names:
            listed = re.findall(r"`([^`]+)`", line)
            assert line == f"{names} " + ", ".join(f"`{name}`" for name in listed)
            assert all(any(name in text for text in said) for name in listed)
        else:
            assert line.startswith("- ")
            quoted = line.removeprefix("- ").removeprefix(BY_ASSISTANT)
            assert any(quoted in text for text in said), quoted


def test_the_briefing_keeps_the_owners_text_and_quotes_the_rest(session: dict[str, Any]) -> None:
    messages = messages_of(session)
    owner = (
        "# Briefing\n\nMine.\n\n## Now\n\n- my own line\n\n## Next\n\n1. mine too\n\n## Elsewhere\n\nText.\n"
    )
    updated = updated_briefing(owner, extract(messages))
    said = [one_line(one.content) for one in messages]
    own = [line for line in updated.splitlines() if line in owner.splitlines()]
    assert [line for line in own if line] == [line for line in owner.splitlines() if line]
    for line in updated.splitlines():
        if line in owner.splitlines() or line in (BEGIN, END, "## Open questions"):
            continue
        quoted = line.removeprefix("- ").removeprefix(BY_ASSISTANT)
        assert any(quoted in text for text in said), line

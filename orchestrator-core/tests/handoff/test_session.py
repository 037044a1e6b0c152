"""Drafts and confirmations against a real memory and real documents."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from orchestrator_core.errors import Conflict, InvalidRequest
from orchestrator_core.handoff import session as session_module
from orchestrator_core.handoff.item import HandoffItem, Kind
from orchestrator_core.handoff.session import Confirmation, DocumentEdit, Draft, Handoffs
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.document_names import BRIEFING, LOG, PROJECT
from shared_context.errors import ConversationNotFound, DocumentRejected, StaleVersion, StoreFull


class Desk:
    def __init__(self, folder: Path) -> None:
        self.store = ConversationStore.open(folder / "memory.db")
        self.context = ContextFolder(folder / "context", state=folder / "state")
        self.handoffs = Handoffs(self.store, self.context)

    def say(self, *texts: str, conversation: str = "default") -> None:
        for n, text in enumerate(texts):
            self.store.add_message(conversation, "assistant" if n % 2 else "user", text)

    def text(self, name: str) -> str:
        return self.context.document(name).text

    def close(self) -> None:
        self.context.close()
        self.store.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    opened.close()


def confirmation(draft: Draft) -> Confirmation:
    edits = tuple(
        DocumentEdit(drafted.name, drafted.text, drafted.base_version)
        for drafted in draft.documents
        if drafted.diff
    )
    return Confirmation(draft.conversation_id, draft.entry_id, draft.sources, draft.entry, edits)


def diff_of(draft: Draft, name: str) -> str:
    return next(drafted.diff for drafted in draft.documents if drafted.name == name)


def test_nothing_is_written_before_the_confirmation(desk: Desk) -> None:
    desk.say("We decided on tea. TODO: buy tea.", "Fine.")
    before = desk.text(LOG), desk.text(BRIEFING)
    draft = desk.handoffs.draft("default")
    assert "We decided on tea." in draft.entry
    assert ": We decided on tea." in diff_of(draft, PROJECT)
    assert "+- [ ] buy tea." in diff_of(draft, BRIEFING)
    assert (desk.text(LOG), desk.text(BRIEFING)) == before
    assert desk.handoffs.draft("default") == draft


def test_what_was_confirmed_is_stored_as_edited(desk: Desk) -> None:
    desk.say("We decided on tea.", "Fine.")
    draft = desk.handoffs.draft("default")
    edit = DocumentEdit(BRIEFING, "# Mine\n", desk.context.document(BRIEFING).version)
    edited = replace(confirmation(draft), entry="My own words.", documents=(edit,))
    done = desk.handoffs.confirm(edited)
    assert f"<!-- entry:{draft.entry_id} -->\n\nMy own words." in desk.text(LOG)
    assert desk.text(BRIEFING) == "# Mine\n"
    assert done.log_version == desk.context.document(LOG).version
    assert done.versions == {BRIEFING: desk.context.document(BRIEFING).version}
    assert (done.merged, done.repeated) == ((), False)


def test_the_next_handoff_covers_what_is_new(desk: Desk) -> None:
    desk.say("We decided on tea.", "Fine.")
    desk.handoffs.confirm(confirmation(desk.handoffs.draft("default")))
    with pytest.raises(Conflict) as caught:
        desk.handoffs.draft("default")
    assert caught.value.code == "nothing_to_hand_off"
    desk.say("We agreed on two cups.", "Fine.")
    draft = desk.handoffs.draft("default")
    assert len(draft.sources) == 2
    assert "tea" not in draft.entry
    assert "We agreed on two cups." in draft.entry


def test_an_answer_alone_is_no_session(desk: Desk) -> None:
    desk.say("We decided on tea.", "Fine.")
    desk.handoffs.confirm(confirmation(desk.handoffs.draft("default")))
    late = desk.store.add_message("default", "assistant", "One more thing.")
    with pytest.raises(Conflict):
        desk.handoffs.draft("default")
    desk.say("We agreed on two cups.")
    assert late.message_id in desk.handoffs.draft("default").sources


def test_what_another_tier_delivers_late_is_not_passed_over(desk: Desk) -> None:
    desk.say("We decided on tea.", "Fine.")
    desk.handoffs.confirm(confirmation(desk.handoffs.draft("default")))
    desk.store.add_message(
        "default", "user", "We agreed on two cups.", tier="phone", created_at="2020-01-01T00:00:00.000000Z"
    )
    assert "We agreed on two cups." in desk.handoffs.draft("default").entry


def test_confirming_again_changes_nothing(desk: Desk) -> None:
    desk.say("TODO: buy tea.", "Fine.")
    given = confirmation(desk.handoffs.draft("default"))
    first = desk.handoffs.confirm(given)
    desk.context.edit(BRIEFING, "# Rewritten by hand\n")
    again = desk.handoffs.confirm(replace(given, entry="Other words."))
    assert again == replace(first, repeated=True)
    assert desk.text(BRIEFING) == "# Rewritten by hand\n"
    assert desk.text(LOG).count(given.entry_id) == 1


def test_many_at_once_store_one_entry(desk: Desk) -> None:
    desk.say("We decided on tea.", "Fine.")
    given = confirmation(desk.handoffs.draft("default"))
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(desk.handoffs.confirm, [given] * 16))
    assert sum(not one.repeated for one in done) == 1
    assert desk.text(LOG).count("We decided on tea.") == 1
    assert desk.text(PROJECT).count("We decided on tea.") == 1


def test_a_briefing_that_changed_meanwhile_is_merged(desk: Desk) -> None:
    desk.say("TODO: buy tea.", "Fine.")
    draft = desk.handoffs.draft("default")
    present = desk.text(BRIEFING)
    desk.context.edit(BRIEFING, present.replace("Where things stand now.", "Where things stood."))
    done = desk.handoffs.confirm(confirmation(draft))
    assert done.merged == (BRIEFING,)
    assert "Where things stood." in desk.text(BRIEFING)
    assert "- [ ] buy tea." in desk.text(BRIEFING)


def test_two_drafts_of_overlapping_sessions_are_not_both_stored(desk: Desk) -> None:
    desk.say("We decided on tea.", "Fine.")
    first = desk.handoffs.draft("default")
    desk.say("We agreed on two cups.", "Fine.")
    second = desk.handoffs.draft("default")
    desk.handoffs.confirm(confirmation(second))
    with pytest.raises(Conflict) as caught:
        desk.handoffs.confirm(confirmation(first))
    assert caught.value.code == "already_handed_off"
    assert desk.text(LOG).count("We decided on tea.") == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"documents": (DocumentEdit(PROJECT, "x", "0123456789ab"),)}, StaleVersion),
        ({"documents": (DocumentEdit(LOG, "x"),)}, InvalidRequest),
        ({"sources": ("nobody",)}, InvalidRequest),
        ({"conversation_id": "nowhere"}, ConversationNotFound),
        ({"entry_id": "../x"}, DocumentRejected),
        ({"entry": "  \n "}, DocumentRejected),
    ],
)
def test_what_cannot_be_stored_is_refused_whole(
    desk: Desk, change: dict[str, object], error: type[Exception]
) -> None:
    desk.say("We decided on tea.", "Fine.")
    before = desk.text(LOG), desk.text(BRIEFING)
    given = replace(confirmation(desk.handoffs.draft("default")), **change)  # type: ignore[arg-type]
    with pytest.raises(error):
        desk.handoffs.confirm(given)
    assert (desk.text(LOG), desk.text(BRIEFING)) == before
    assert desk.handoffs.draft("default").sources


def test_parts_can_be_left_out(desk: Desk) -> None:
    desk.say("We decided on tea.", "Fine.")
    before = desk.text(LOG), desk.text(BRIEFING)
    given = replace(confirmation(desk.handoffs.draft("default")), entry=None, documents=())
    done = desk.handoffs.confirm(given)
    assert (done.log_version, done.versions) == (None, {})
    assert (desk.text(LOG), desk.text(BRIEFING)) == before
    with pytest.raises(Conflict):
        desk.handoffs.draft("default")


def test_sources_of_another_conversation_are_refused(desk: Desk) -> None:
    desk.store.create("other")
    desk.say("We decided on tea.", conversation="other")
    desk.say("We decided on coffee.")
    stranger = desk.handoffs.draft("other")
    with pytest.raises(InvalidRequest, match="no message of this conversation"):
        desk.handoffs.confirm(replace(confirmation(stranger), conversation_id="default"))


def test_a_conversation_cleared_meanwhile_can_still_be_noted(desk: Desk) -> None:
    desk.say("We decided on tea.", "Fine.")
    given = confirmation(desk.handoffs.draft("default"))
    desk.store.clear("default")
    desk.handoffs.confirm(given)
    assert "We decided on tea." in desk.text(LOG)


@pytest.mark.parametrize("cut_at", ["append_entry", "edit", "record"])
def test_a_confirmation_that_was_cut_off_is_finished_by_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, cut_at: str
) -> None:
    """As after a crash or on a full disk: whatever was written is not written twice."""
    desk.say("We decided on tea. TODO: buy tea.", "Fine.")
    given = confirmation(desk.handoffs.draft("default"))

    def full(*_: object, **__: object) -> None:
        raise StoreFull("The disk is full.")

    with monkeypatch.context() as patched:
        target = desk.handoffs._marks if cut_at == "record" else desk.context
        patched.setattr(target, cut_at, full)
        with pytest.raises(StoreFull):
            desk.handoffs.confirm(given)
    done = desk.handoffs.confirm(given)
    assert not done.repeated
    assert desk.text(LOG).count("- We decided on tea.") == 1
    assert desk.text(PROJECT).count("We decided on tea.") == 1
    assert desk.text(BRIEFING).count("- [ ] buy tea.") == 1


def test_a_very_long_session_is_read_as_far_as_bounds_allow(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "MOST_MESSAGES", 20)
    monkeypatch.setattr(session_module, "MOST_TEXT", 400)
    for n in range(20):
        desk.say(f"We decided on tea number {n}. {'x' * 50}", "Fine.")
    draft = desk.handoffs.draft("default")
    assert len(draft.sources) == 20
    assert "number 19" in draft.entry
    assert "number 11" not in draft.entry
    assert [note for note in draft.notes if "Only the last 20 messages were read." in note]
    assert [note for note in draft.notes if "oldest messages are not in the draft" in note]


class Proposing:
    """Stands for `Proposer`: finds one item, and leaves the rest of the session unread."""

    def __init__(self, item: HandoffItem, unread: int) -> None:
        self._item = item
        self._unread = unread

    def items(self, session, open_items, today):  # type: ignore[no-untyped-def]
        return [self._item], list(session)[-self._unread :] if self._unread else [], ["noted"]


def test_what_the_model_proposed_is_drafted_and_markers_are_read_where_it_was_not(desk: Desk) -> None:
    desk.say("The old pump leaks.", "Its seal is broken.", "TODO: order a seal.", "Fine.")
    found = HandoffItem(
        Kind.DONE, "Found the leak: the seal.", "Its seal is broken.", "m1", by_assistant=True
    )
    desk.handoffs._proposer = Proposing(found, unread=2)  # type: ignore[assignment]
    draft = desk.handoffs.draft("default")
    assert "- Found the leak: the seal. (assistant)" in draft.entry
    assert "- order a seal." in draft.entry
    assert "noted" in draft.notes
    assert "leak" not in desk.handoffs.draft("default", use_model=False).entry


def test_the_draft_is_known_by_its_id_also_when_more_was_said_since(desk: Desk) -> None:
    desk.say("We decided on tea.", "Fine.")
    given = replace(confirmation(desk.handoffs.draft("default")), sources=None)
    desk.say("We agreed on two cups.", "Fine.")
    first = desk.handoffs.confirm(given)
    again = desk.handoffs.confirm(given)
    assert again.repeated and again.entry_id == first.entry_id
    rest = desk.handoffs.draft("default")
    assert "two cups" in rest.entry and "tea" not in rest.entry


def test_a_draft_whose_messages_changed_is_known_no_more(desk: Desk) -> None:
    desk.say("We decided on tea.", "Fine.")
    given = replace(confirmation(desk.handoffs.draft("default")), sources=None)
    desk.store.add_message("default", "user", "Late.", created_at="2020-01-01T00:00:00.000000Z")
    before = desk.text(LOG)
    with pytest.raises(Conflict) as caught:
        desk.handoffs.confirm(given)
    assert caught.value.code == "draft_outdated"
    assert desk.text(LOG) == before


def test_another_projects_documents_may_be_meant(desk: Desk) -> None:
    desk.say("We decided on tea.", "Fine.")
    house = desk.context.in_project("house", create=True)
    before = desk.text(LOG), desk.text(BRIEFING)
    draft = desk.handoffs.draft("default", context=house)
    done = desk.handoffs.confirm(confirmation(draft), context=house.written_by("red pen"))
    assert done.log_version == house.document(LOG).version
    assert "We decided on tea." in house.document(PROJECT).text
    assert house.document(LOG).author == "red pen"
    assert (desk.text(LOG), desk.text(BRIEFING)) == before

"""The items of the documents: listed, edited, settled, forgotten."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from orchestrator_core.errors import InvalidRequest, NotFound
from orchestrator_core.handoff.item import HandoffItem, Kind
from orchestrator_core.handoff.memory import MemoryItems
from orchestrator_core.handoff.placement import DOCUMENTS, updated
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.document_names import BRIEFING, LOG, PORTFOLIO

TODAY = date(2026, 11, 30)
NUTS = HandoffItem(Kind.OWNER, "Allergic to nuts", "I am allergic to nuts", "m1")
TASK = HandoffItem(Kind.TODO, "Renew the certificate", "renew it", "m2")


@pytest.fixture
def context(tmp_path: Path) -> Iterator[ContextFolder]:
    folder = ContextFolder(tmp_path / "context", state=tmp_path / "state")
    for name in DOCUMENTS:
        folder.edit(name, updated(name, folder.document(name).text, [NUTS, TASK], TODAY))
    folder.append_entry("About the owner:\n\n- Allergic to nuts\n- Plays the cello")
    yield folder
    folder.close()


@pytest.fixture
def conversations(tmp_path: Path) -> Iterator[ConversationStore]:
    with ConversationStore.open(tmp_path / "memory.db") as store:
        store.add_message("default", "user", "I am allergic to nuts", message_id="m1")
        store.add_message("default", "assistant", "No nuts then.", message_id="a1", reply_to="m1")
        store.add_message("default", "user", "Thanks", message_id="m3")
        yield store


def test_items_are_listed_with_their_origin(context: ContextFolder) -> None:
    items = {item.text: item for item in MemoryItems(context).items()}
    assert items["Allergic to nuts"].document == PORTFOLIO
    assert items["Allergic to nuts"].message_id == "m1"
    assert items["Renew the certificate"].section == "next"
    assert [item.text for item in MemoryItems(context).items("done")] == []


def test_an_edited_item_keeps_its_id(context: ContextFolder) -> None:
    memory = MemoryItems(context)
    memory.edit(NUTS.item_id, "Allergic to hazelnuts")
    assert memory.get(NUTS.item_id).text == "Allergic to hazelnuts"
    assert memory.get(NUTS.item_id).message_id == "m1"


def test_a_settled_task_leaves_and_a_dropped_fact_is_struck(context: ContextFolder) -> None:
    memory = MemoryItems(context)
    memory.settle(TASK.item_id, "done")
    assert "Renew" not in context.document(BRIEFING).text
    assert memory.settle(NUTS.item_id, "dropped").state == "superseded"
    assert "~~Allergic to nuts~~" in context.document(PORTFOLIO).text


def test_a_forgotten_item_leaves_documents_log_and_messages(
    context: ContextFolder, conversations: ConversationStore, tmp_path: Path
) -> None:
    forgotten = MemoryItems(context).forget(NUTS.item_id, conversations)
    assert forgotten.item.message_id == "m1"
    assert "nuts" not in context.document(PORTFOLIO).text
    assert "nuts" not in context.document(LOG).text
    assert "Plays the cello" in context.document(LOG).text
    assert [message.message_id for message in conversations.messages("default")] == ["m3"]
    assert b"nuts" not in (tmp_path / "state" / "documents.db").read_bytes()


def test_history_keeps_a_forgotten_item_until_it_is_rewritten(
    context: ContextFolder, conversations: ConversationStore, tmp_path: Path
) -> None:
    def in_history() -> str:
        done = subprocess.run(
            ["git", "-C", str(tmp_path / "state" / "history.git"), "log", "-p", "--all"],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    versions = len(context.history(PORTFOLIO))
    assert "nuts" in in_history()
    rewritten = MemoryItems(context).forget(NUTS.item_id, conversations, history=True).versions_rewritten
    assert rewritten > 0
    assert "nuts" not in in_history() and "cello" in in_history()
    for name in (PORTFOLIO, LOG):
        for version in context.history(name):
            assert "nuts" not in context.text_at(name, version.version)
    assert len(context.history(PORTFOLIO)) == versions + 1
    assert context.edit(PORTFOLIO, context.document(PORTFOLIO).text + "\n- Plays chess\n")


def test_what_cannot_be_done_is_refused(context: ContextFolder, conversations: ConversationStore) -> None:
    memory = MemoryItems(context)
    with pytest.raises(NotFound, match="nothere"):
        memory.forget("nothere", conversations)
    with pytest.raises(InvalidRequest):
        memory.edit(NUTS.item_id, " ")

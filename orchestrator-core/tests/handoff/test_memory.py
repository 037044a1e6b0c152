"""The items of the documents: listed, edited, settled, forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from orchestrator_core.errors import InvalidRequest, NotFound
from orchestrator_core.handoff.item import Item, Kind
from orchestrator_core.handoff.memory import MemoryItems
from orchestrator_core.handoff.placement import DOCUMENTS, updated
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.document_names import BRIEFING, LOG, PORTFOLIO

TODAY = date(2026, 11, 30)
NUTS = Item(Kind.OWNER, "Allergic to nuts", "I am allergic to nuts", "m1")
TASK = Item(Kind.TODO, "Renew the certificate", "renew it", "m2")


@pytest.fixture
def context(tmp_path: Path) -> Iterator[ContextFolder]:
    folder = ContextFolder(tmp_path / "context", state=tmp_path / "state")
    for name in DOCUMENTS:
        folder.edit(name, updated(name, folder.document(name).text, [NUTS, TASK], TODAY))
    folder.append_entry("About the owner:\n\n- Allergic to nuts\n- Plays the cello")
    yield folder
    folder.close()


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


def test_a_forgotten_item_leaves_documents_and_log(context: ContextFolder) -> None:
    forgotten = MemoryItems(context).forget(NUTS.item_id)
    assert forgotten.message_id == "m1"
    assert "nuts" not in context.document(PORTFOLIO).text
    assert "nuts" not in context.document(LOG).text
    assert "Plays the cello" in context.document(LOG).text


def test_what_cannot_be_done_is_refused(context: ContextFolder) -> None:
    memory = MemoryItems(context)
    with pytest.raises(NotFound, match="nothere"):
        memory.forget("nothere")
    with pytest.raises(InvalidRequest):
        memory.edit(NUTS.item_id, " ")

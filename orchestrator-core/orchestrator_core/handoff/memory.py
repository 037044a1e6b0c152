"""The items of the handoff documents: listed, edited, settled and forgotten.

The documents are the store: an item is a line there, so what the owner edits by hand, what a handoff adds
and what other replicas write are the same thing, merged and kept in the same history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder, Document
from shared_context.documents.document_names import LOG

from orchestrator_core.errors import InvalidRequest, NotFound
from orchestrator_core.handoff.item import key
from orchestrator_core.handoff.item_line import ItemLine
from orchestrator_core.handoff.placement import DOCUMENTS, Placed, placed_items

MOST_CHARS = 300


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """
    Args:
        section: `now`, `next`, `questions`, `decisions`, `facts` or `owner`.
        due, created, until: ISO dates.
        message_id: of the message that proves it; None: the owner wrote it by hand.
    """

    item_id: str
    document: str
    section: str
    text: str
    state: str
    due: str | None
    created: str | None
    until: str | None
    message_id: str | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """
    Args:
        versions_rewritten: of the documents' history; 0: it keeps what it has.
    """

    item: MemoryItem
    versions_rewritten: int


class MemoryItems:
    """Those of one project's documents, the portfolio among them. Safe from any thread."""

    def __init__(self, context: ContextFolder) -> None:
        self._context = context

    def items(self, state: str | None = None) -> list[MemoryItem]:
        """In the order of the documents, from broad to narrow.

        Args:
            state: only these: `open`, `done` or `superseded`.
        """
        placed = [
            item for document in self._documents() for item in placed_items(document.name, document.text)
        ]
        return [_shown(item) for item in placed if state is None or item.line.state == state]

    def get(self, item_id: str) -> MemoryItem:
        """
        Raises:
            NotFound: no item has this id.
        """
        return _shown(self._find(item_id)[1])

    def edit(self, item_id: str, text: str) -> MemoryItem:
        """Reword an item; its id, origin and state stay.

        Raises:
            NotFound. InvalidRequest: an empty or too long text. StoreError, DocumentError.
        """
        if not text.strip() or len(text) > MOST_CHARS:
            raise InvalidRequest(
                f"An item has 1 to {MOST_CHARS} characters, not {len(text.strip())}.", param="text"
            )
        document, placed = self._find(item_id)
        line = placed.line.reworded(text)
        self._replace(document, placed, str(line), f"edited item {item_id}")
        return _shown(Placed(placed.section, placed.number, line))

    def settle(self, item_id: str, outcome: Literal["done", "dropped"]) -> MemoryItem:
        """Close a to-do or question, or strike a decision or fact that does not hold any more.

        Raises:
            NotFound. StoreError, DocumentError.
        """
        document, placed = self._find(item_id)
        if placed.section.sorted:
            self._replace(document, placed, None, f"{outcome}: item {item_id}")
        else:
            line = placed.line.superseded(datetime.now(UTC).date())
            self._replace(document, placed, str(line), f"{outcome}: item {item_id}")
            placed = Placed(placed.section, placed.number, line)
        return _shown(placed)

    def forget(self, item_id: str, conversations: ConversationStore, *, history: bool = False) -> Forgotten:
        """Remove an item as if it had never been noted: from the documents, its sentence from the log, and the
        message that proves it with the answers to it, which search would find.

        Args:
            history: rewrite the documents' history too; ids of its versions change.

        Raises:
            NotFound. StoreError, DocumentError: what was done so far stays done; repeating it goes on.
        """
        document, placed = self._find(item_id)
        item = _shown(placed)
        if placed.line.message_id is not None:
            conversations.delete_message(placed.line.message_id)
        logs = [each for each in self._context.documents() if each.name == LOG] + self._context.archives()
        for log in logs:
            text = _without(log.text, placed.line)
            if text != log.text:
                self._context.edit(log.name, text, base_version=log.version, summary="forgot an item")
        self._replace(document, placed, None, f"forgot item {item_id}")
        self._context.scrub()
        rewritten = self._context.rewrite_history(lambda old: _without(old, placed.line)) if history else 0
        return Forgotten(item, rewritten)

    def _documents(self) -> list[Document]:
        return [document for document in self._context.documents() if document.name in DOCUMENTS]

    def _find(self, item_id: str) -> tuple[Document, Placed]:
        for document in self._documents():
            for placed in placed_items(document.name, document.text):
                if placed.line.item_id == item_id:
                    return document, placed
        raise NotFound(
            f"No item has the id {item_id[:80]!r}.",
            hint="`orchestrator memory list` shows the ids; a line that was edited by hand gets another one.",
        )

    def _replace(self, document: Document, placed: Placed, line: str | None, summary: str) -> None:
        lines = document.text.split("\n")
        lines[placed.number : placed.number + 1] = [] if line is None else [line]
        self._context.edit(document.name, "\n".join(lines), base_version=document.version, summary=summary)


def _without(text: str, item: ItemLine) -> str:
    return "\n".join(line for line in text.split("\n") if not _says(line, item))


def _says(line: str, item: ItemLine) -> bool:
    """Whether a line holds this item or its sentence."""
    text = key(item.text)
    return f"item:{item.item_id} " in line or (len(text) > 0 and text in key(line))


def _shown(placed: Placed) -> MemoryItem:
    line = placed.line
    return MemoryItem(
        item_id=line.item_id,
        document=placed.section.document,
        section=placed.section.name,
        text=line.text,
        state=str(line.state),
        due=str(line.due) if line.due else None,
        created=str(line.created) if line.created else None,
        until=str(line.until) if line.until else None,
        message_id=line.message_id,
    )

"""What delivering an entry of the outbox means: a message is asked and answered, a log entry or an edit goes into this
device's copy of the memory and with the next exchange to the others, where the same change counts once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from orchestrator_core.errors import NotFound
from orchestrator_core.tiers.run_stream import StreamEvent
from shared_context.documents.context_folder import ContextFolder
from shared_context.errors import ConversationNotFound

from mobile_sync.answers import RoamingAnswer
from mobile_sync.household import Household
from mobile_sync.outbox import EntryKind, EntryState, OutboxEntry

NEWEST = 10_000
"""Messages of a conversation that are looked through."""


class HouseholdCourier:
    """A `delivery.Courier`.

    Args:
        context: this device's copy of the documents.
        exchange: makes this device's memory and a server's equal; whether they are.
        told: is given each event of an answer that nobody waits for.
    """

    def __init__(
        self,
        household: Household,
        context: ContextFolder,
        exchange: Callable[[], bool],
        told: Callable[[OutboxEntry, StreamEvent], None] = lambda entry, event: None,
    ) -> None:
        self._household = household
        self._context = context
        self._exchange = exchange
        self._told = told

    def send(self, entry: OutboxEntry) -> None:
        if entry.kind is not EntryKind.MESSAGE:
            self.write(entry)
            return
        for event in self.answer(entry):
            self._told(entry, event)

    def answer(self, entry: OutboxEntry) -> RoamingAnswer:
        """Of a message."""
        return RoamingAnswer(self._household, entry.body)

    def write(self, entry: OutboxEntry) -> None:
        """Into this device's copy, once: the entry's id tells what was written before a crash.

        Raises:
            StaleVersion, DocumentRejected, DocumentNotFound, StoreError.
        """
        if entry.kind is EntryKind.LOG_ENTRY:
            self._context.append_entry(entry.body["text"], entry_id=entry.entry_id)
        else:
            base = entry.body.get("base")
            self._context.edit(entry.lane, entry.body["text"], base_version=base, edit_id=entry.entry_id)

    def is_seen(self, entry: OutboxEntry) -> bool:
        if entry.kind is not EntryKind.MESSAGE:
            return entry.state is EntryState.ANSWERED and self._exchange()
        path = f"/conversations/{quote(entry.lane, safe='')}"
        try:
            history = self._household.call("GET", path, query={"limit": NEWEST}).body["history"]
        except (NotFound, ConversationNotFound):
            # One that was answered there was deleted since; any other has not arrived.
            return entry.state is EntryState.ANSWERED
        return _has_answer(history, entry.entry_id)


def _has_answer(history: list[dict[str, Any]], message_id: str) -> bool:
    asked = any(message["message_id"] == message_id for message in history)
    return asked and any(message["reply_to"] == message_id for message in history)

"""One tier's copy of the whole memory, as a partner in exchanges. Needs no web framework."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from shared_context.conversations import origins
from shared_context.conversations.store import ConversationStore
from shared_context.exchange.message_log import MessageLog
from shared_context.exchange.wire import DeviceName

if TYPE_CHECKING:
    from shared_context.documents.context_folder import ContextFolder
    from shared_context.exchange.shared_documents import SharedDocuments

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """What a replica has: its version vector, and its documents' digest or None."""

    vector: dict[str, int]
    documents: str | None

    @property
    def digest(self) -> str:
        """Equal when two replicas have the same; 16 hexadecimal digits."""
        text = json.dumps([sorted(self.vector.items()), self.documents], separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


class Replica:
    """Conversations and, where this tier keeps them, handoff documents. Safe from any thread.

    The owner of the two closes them; a replica only looks at them.

    Args:
        context: None for a tier without documents. A tier other than the desktop opens its
            folder with `starters=False`: it starts empty and receives them.
        name: of this device, for the history of the documents it changes: up to 64 letters,
            digits, spaces, dots, dashes and underscores.

    Raises:
        ValueError: the name cannot be used.
    """

    def __init__(
        self, conversations: ConversationStore, context: ContextFolder | None = None, *, name: str = "desktop"
    ) -> None:
        self.conversations = conversations
        self.log = MessageLog(conversations)
        self.name = TypeAdapter(DeviceName).validate_python(name)
        self.documents: SharedDocuments | None = None
        if context is not None:
            from shared_context.exchange.shared_documents import SharedDocuments

            self.documents = SharedDocuments(context)

    @property
    def replica_id(self) -> str:
        return self.conversations.replica_id

    def state(self) -> ReplicaState:
        documents = self.documents.summary().digest if self.documents is not None else None
        return ReplicaState(self.log.vector(), documents)

    def former_ids(self) -> list[str]:
        """Ids given up because another copy of this memory used them too, oldest first."""
        with self.conversations.database.read() as connection:
            return origins.former_replica_ids(connection)

    def meet(self, other_id: str) -> None:
        """Give up this replica's id when the other one has it as well: one of them is a clone."""
        with self.conversations.database.write() as connection:
            if origins.replica_id(connection) == other_id:
                old, new = origins.take_new_replica_id(connection)
                log.warning("A clone of this memory has the replica id %s; this one is %s now.", old, new)

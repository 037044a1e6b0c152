"""What the desktop has just done that this tier remembers at once, without waiting for the next exchange.

A conversation that was begun through the relay may be gone on with a moment later, when the desktop is lost.
"""

from __future__ import annotations

import json
import logging

from shared_context.conversations.store import ConversationStore
from shared_context.errors import SharedContextError

_log = logging.getLogger(__name__)


def remember(method: str, path: str, status: int, body: bytes, conversations: ConversationStore) -> None:
    """Keep a copy; the memory's exchange makes one thing of both later."""
    if (method, path, status) != ("POST", "/conversations", 201):
        return
    try:
        answer = json.loads(body)
        conversations.create(str(answer["conversation_id"]), answer.get("title") or None)
    except (ValueError, KeyError, TypeError, AttributeError, SharedContextError) as error:
        _log.warning("A new conversation is known here only after the next exchange: %s", error)

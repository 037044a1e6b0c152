"""Asking another tier, as a client of its `/chat/stream`."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

from shared_context.conversations.messages import Message
from shared_context.conversations.store import ConversationStore
from shared_context.errors import ConversationNotFound

from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import TierLost, TierRefused, TierUnreachable, from_body
from orchestrator_core.messages import Role
from orchestrator_core.tiers.remote import RemoteResponse, RemoteTier
from orchestrator_core.tiers.router import Decision

SETTLE_S = 2.0
"""How long a question waits for the other tier to take in what was said here before it."""

MAX_REFUSAL_BYTES = 256 * 1024
MAX_REASON_CHARS = 250
"""What a request may give as its `because`, and a little less."""

NOT_SERVING = frozenset({"stopping", "loading"})
"""Codes of a 503 by which a tier says that it is as good as away."""

_HEADERS = {"content-type": "application/json", "accept": "text/event-stream"}

_log = logging.getLogger(__name__)


class TierForwarding:
    """Another tier, to be asked in place of this one. Safe from any thread."""

    def __init__(self, tier: str, remote: RemoteTier, conversations: ConversationStore) -> None:
        self._tier = tier
        self.remote = remote
        self._conversations = conversations
        self._lock = threading.Lock()
        # What was written before this start may not have been exchanged.
        self._said_here = 1
        self._taken_in = 0

    def said_here(self) -> None:
        """Something was said that only this tier knows until the next exchange."""
        with self._lock:
            self._said_here += 1

    def ask(
        self, request: ChatRequest, message_id: str, conversation_id: str, decision: Decision
    ) -> RemoteResponse:
        """Its event stream, of which the head is there.

        Args:
            decision: that it shall answer, and why.

        Raises:
            TierUnreachable: it cannot be asked; nothing happened there.
            TierLost: it was asked and lost; it may answer by itself.
            TierRefused: it said no.
        """
        tier = decision.tier
        if self._is_new(conversation_id):
            self.said_here()
        if not self._settled():
            raise TierUnreachable(f"the {tier} has not taken in yet what was said here")
        response = self.remote.open(
            "POST",
            "/chat/stream",
            headers=_HEADERS,
            body=self._body(request, message_id, conversation_id, decision),
        )
        if response.status != 200:
            raise self._refusal(response, tier)
        return response

    def remember(self, request: ChatRequest, message_id: str, conversation_id: str) -> Message:
        """Store here, under the same id, the question that the other tier has stored.

        Raises:
            StoreError.
        """
        store = self._conversations
        try:
            store.get(conversation_id)
        except ConversationNotFound:
            store.create(conversation_id)  # it began there, and the next exchange brings the rest
        return store.add_message(
            conversation_id, Role.USER, request.message, message_id=message_id, tier=request.via or self._tier
        )

    def _is_new(self, conversation_id: str) -> bool:
        """Whether it was begun here and nothing was said in it: the other tier may never have heard of it."""
        if not self._conversations.begun_here(conversation_id):
            return False
        try:
            return self._conversations.get(conversation_id).turn_count == 0
        except ConversationNotFound:
            return False

    def _settled(self) -> bool:
        with self._lock:
            wanted = self._said_here
            if self._taken_in >= wanted:
                return True
        if not self.remote.settle(SETTLE_S):
            return False
        with self._lock:
            self._taken_in = max(self._taken_in, wanted)
        return True

    def _body(self, request: ChatRequest, message_id: str, conversation_id: str, decision: Decision) -> bytes:
        fields = request_fields(request) | {
            "message_id": message_id,
            "conversation_id": conversation_id,
            "tier": decision.tier,
            "via": self._tier,
            "because": decision.reason[:MAX_REASON_CHARS],
        }
        return json.dumps(fields).encode("ascii")

    def _refusal(self, response: RemoteResponse, tier: str) -> Exception:
        try:
            body = b""
            for chunk in response.chunks():
                body += chunk
                if len(body) > MAX_REFUSAL_BYTES:
                    break
        finally:
            response.close()
        error_body = _parsed(body)
        if error_body is None and response.status >= 500:
            return TierLost(f"something before the {tier} answered {response.status}")
        error = from_body(
            {**(error_body or {}), "retry_after_s": _seconds(response.headers.get("retry-after", ""))},
            response.status,
            default=f"The {tier} answered {response.status}.",
        )
        if response.status == 503 and error.code in NOT_SERVING:
            return TierUnreachable(error.message)
        return TierRefused(error)


def request_fields(request: ChatRequest) -> dict[str, Any]:
    """What was asked, as JSON, without what was left out."""
    return request.model_dump(mode="json", exclude_none=True, exclude_defaults=True)


def _parsed(body: bytes) -> dict[str, Any] | None:
    """The fields of an error body."""
    try:
        inner = json.loads(body.decode("utf-8")).get("error")
    except (ValueError, AttributeError, RecursionError):
        return None
    return inner if isinstance(inner, dict) else None


def _seconds(header: str) -> int | None:
    return min(int(header), 3600) if header.isdecimal() and len(header) < 10 else None

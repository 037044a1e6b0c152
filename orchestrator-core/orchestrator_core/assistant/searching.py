"""Search as a person sees it: what has all the words first, then what else fits."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace

from shared_context.conversations.messages import Conversation, SearchHit
from shared_context.conversations.search import snippet
from shared_context.conversations.store import ConversationStore
from shared_context.documents.document_names import project_of
from shared_context.errors import ConversationNotFound, SharedContextError
from shared_context.retrieval.fusion import fused
from shared_context.retrieval.recall import Found, MemorySearch
from shared_context.retrieval.stopwords import telling_words_in

log = logging.getLogger(__name__)

EXACT_WEIGHT = 2.0
"""A person who types words into a search box means these words."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search.

    Args:
        source: `message`, `conversation` (its title), `log` or `document`.
        id: of the message or conversation, or `PATH#entry` or `PATH#heading` with the document's path below the context folder.
        text: the place that fits, with … where it is cut.
        at: ISO 8601, or None where unknown.
        conversation_id: of a message, with the `title` of its conversation.
        project: whose document it is from; None for messages, the portfolio and what lies beside it.
    """

    source: str
    id: str
    text: str
    at: str | None
    score: float
    conversation_id: str | None = None
    title: str | None = None
    project: str | None = None


def search_all(
    query: str,
    limit: int,
    conversations: ConversationStore,
    memory: MemorySearch | None,
    *,
    within: Collection[str] | None = None,
) -> list[Hit]:
    """Messages, titles of conversations, log entries and documents' sections, best first.

    Args:
        memory: None, or one that fails: only messages with all the words.
        within: paths of the documents to look in, besides all messages; None: all.

    Raises:
        StoreError: the conversations cannot be read.
    """
    exact = {("message", hit.message_id): _of_message(hit) for hit in conversations.search(query, limit)}
    exact |= {
        ("conversation", titled.conversation_id): _of_title(titled)
        for titled in conversations.titled(query, limit)
    }
    ranked = {(passage.source, passage.item): passage for passage in _ranked(query, limit, memory, within)}
    hits: list[Hit] = []
    for key, score in fused((list(exact), list(ranked)), (EXACT_WEIGHT, 1.0))[:limit]:
        if key in exact:
            hits.append(replace(exact[key], score=score))
        else:
            hit = _of_passage(ranked[key], query, score, conversations)
            hits += [hit] if hit else []
    return hits


def _ranked(
    query: str, limit: int, memory: MemorySearch | None, within: Collection[str] | None
) -> list[Found]:
    if memory is None:
        return []
    try:
        return memory.search(query, limit, within=within)
    except (SharedContextError, OSError) as error:
        log.warning("Only messages are searched, and only for all words: %s", error)
        return []


def _of_message(hit: SearchHit) -> Hit:
    return Hit(
        "message", hit.message_id, hit.snippet, hit.created_at, hit.score, hit.conversation_id, hit.title
    )


def _of_title(conversation: Conversation) -> Hit:
    known = conversation.conversation_id, conversation.title
    return Hit("conversation", known[0], known[1], conversation.updated_at, 0.0, *known)


def _of_passage(passage: Found, query: str, score: float, conversations: ConversationStore) -> Hit | None:
    """None for a message that is gone meanwhile."""
    text = snippet(passage.text, telling_words_in(query))
    if passage.source != "message":
        project = project_of(passage.document)
        return Hit(passage.source, passage.item, text, passage.at or None, score, project=project)
    message = conversations.message(passage.item)
    if message is None:
        return None
    try:
        title = conversations.get(message.conversation_id).title
    except ConversationNotFound:
        return None
    return Hit("message", passage.item, text, passage.at, score, message.conversation_id, title)

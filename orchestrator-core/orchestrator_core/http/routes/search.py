"""`/search`: in all conversations and in the session log."""

from __future__ import annotations

from orchestrator_core.http.api import Api
from orchestrator_core.http.services import services
from orchestrator_core.http.shapes.conversations import SearchAnswer, SearchQuery, SearchResult

api = Api("search")


@api.route("GET", "/search", summary="Search messages", errors=(507,))
def search(query: SearchQuery) -> SearchAnswer:
    """Any text is a valid query: all its words must occur."""
    hits = services().assistant.conversations.search(query.q, query.limit)
    return SearchAnswer(
        results=[
            SearchResult(
                source="message",
                id=hit.message_id,
                text=hit.snippet,
                at=hit.created_at,
                score=hit.score,
                conversation_id=hit.conversation_id,
                title=hit.title,
            )
            for hit in hits
        ]
    )

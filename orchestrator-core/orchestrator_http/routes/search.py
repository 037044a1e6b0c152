"""`/search`: in all conversations, the session log and the other documents."""

from __future__ import annotations

from orchestrator_core.assistant.projects import paths_of
from orchestrator_core.assistant.searching import search_all

from orchestrator_http.api import Api
from orchestrator_http.schemas.conversations import SearchAnswer, SearchQuery, SearchResult
from orchestrator_http.services import services

api = Api("search")


@api.route("GET", "/search", summary="Search everything said and written", errors=(404, 507))
def search(query: SearchQuery) -> SearchAnswer:
    """Messages, log entries and sections of all projects' documents. Any text is a valid query: what has
    all its words comes first, then what has some of them, or other forms of them."""
    assistant = services().assistant
    within = None if query.project is None else paths_of(assistant.context, query.project)
    hits = search_all(query.q, query.limit, assistant.conversations, assistant.memory, within=within)
    return SearchAnswer(results=[SearchResult.model_validate(hit) for hit in hits])

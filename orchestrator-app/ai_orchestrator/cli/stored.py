"""What the data folder holds, for commands that only read it.

SQLite lets other processes read while a server writes, and the documents are plain files:
so reading needs neither the server nor the data folder's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings
    from shared_context.conversations.store import ConversationStore
    from shared_context.documents.document import Document


@contextmanager
def open_store(settings: Settings) -> Iterator[ConversationStore | None]:
    """The conversations; None when there are none yet: a reader does not make the file.

    Raises:
        StoreError: the file cannot be read.
    """
    from shared_context.conversations.store import ConversationStore

    path = settings.data / "memory.db"
    if not path.exists():
        yield None
        return
    with ConversationStore.open(path) as store:
        yield store


def latest_used(store: ConversationStore) -> str | None:
    """The conversation in which something was said last; commands that failed leave empty ones."""
    used = (conversation for conversation in store.list(limit=20) if conversation.turn_count > 0)
    latest = next(used, None)
    return None if latest is None else latest.conversation_id


def stored_conversations(settings: Settings, limit: int) -> list[dict[str, Any]]:
    """The latest conversations, as `GET /conversations` tells them.

    Raises:
        StoreError: the file cannot be read.
    """
    from dataclasses import asdict

    with open_store(settings) as store:
        return [] if store is None else [asdict(conversation) for conversation in store.list(limit)]


def stored_conversation(settings: Settings, conversation_id: str, limit: int) -> dict[str, Any]:
    """A conversation with its newest messages, oldest first.

    Raises:
        ConversationNotFound: there is none of this id. StoreError: the file cannot be read.
    """
    from dataclasses import asdict

    from shared_context.errors import ConversationNotFound

    with open_store(settings) as store:
        if store is None:
            raise ConversationNotFound("There are no conversations yet.")
        history = [asdict(message) for message in store.messages(conversation_id, limit=limit)]
        return {**asdict(store.get(conversation_id)), "history": history}


def project_paths(settings: Settings, project: str | None) -> list[str]:
    """Where the documents of a project lie below the context folder, broad to narrow; None: those of
    the active one, then those of all others.

    Raises:
        NotFound: there is no such project.
    """
    from orchestrator_core.errors import NotFound
    from shared_context.documents.document_folder import projects_in
    from shared_context.documents.document_names import document_paths

    active, others = settings.context.project, projects_in(settings.context_folder)
    if project is not None:
        if project not in (active, *others):
            raise NotFound(
                f"There is no project {project!r}.",
                hint=f"The projects are: {', '.join(others) or 'none yet'}.",
                param="project",
            )
        return list(document_paths(project).values())
    return list(dict.fromkeys(path for name in (active, *others) for path in document_paths(name).values()))


def document_texts(settings: Settings, project: str | None = None) -> dict[str, str]:
    """Path to text of the handoff documents that are there and readable; see `project_paths`."""
    texts = {}
    for path in project_paths(settings, project):
        try:
            texts[path] = (settings.context_folder / path).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    return texts


def found_in_memory(
    settings: Settings, query: str, limit: int, project: str | None = None
) -> list[dict[str, Any]]:
    """What a search of the memory finds, as `GET /search` tells it. Entries of documents are
    found as they were read last.

    Raises:
        StoreError: the conversations cannot be read. NotFound: there is no such project.
    """
    within = None if project is None else project_paths(settings, project)
    with open_store(settings) as store:
        return [] if store is None else search_store(settings, store, query, limit, within=within)


def search_store(
    settings: Settings,
    store: ConversationStore,
    query: str,
    limit: int,
    documents: Callable[[], Mapping[str, Document]] | None = None,
    *,
    within: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """What a search of these conversations and documents finds, as `GET /search` tells it.

    Args:
        documents, within: see `MemorySearch`.

    Raises:
        StoreError: the conversations cannot be read.
    """
    from dataclasses import asdict

    from orchestrator_core.assistant.remembering import open_memory
    from orchestrator_core.assistant.searching import search_all

    memory = open_memory(settings.data / "search.db", store, documents)
    try:
        return [asdict(hit) for hit in search_all(query, limit, store, memory, within=within)]
    finally:
        if memory is not None:
            memory.close()

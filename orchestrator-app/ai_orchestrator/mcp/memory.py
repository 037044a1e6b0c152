"""The memory, for as long as one call takes.

Several agents' processes share one data folder. Each call takes the documents' lock, works and lets
go, so that all take turns; while a desktop server runs it holds the lock, and the call is sent there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote

from orchestrator_core.errors import BackendUnreachable, Conflict, NotFound
from shared_context.errors import StoreLocked
from shared_context.storage.identity import new_id

from ai_orchestrator.cli.documents import Documents, Fields, FolderDocuments, ServedDocuments
from ai_orchestrator.cli.link.handoffs import LocalHandoffs
from ai_orchestrator.cli.stored import search_store, stored_conversation, stored_conversations
from ai_orchestrator.holding import reach
from ai_orchestrator.mcp.looking import LookingMemory

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings

WAIT_S = 15.0
"""How long a call waits for its turn: a server that stops lets answers end within 10 s."""

LOOKING_WAIT_S = 1.0
"""The same for a call that only reads. Other agents let go within milliseconds."""

ATTEMPTS = 3
"""Of a call whose server went away in the middle. Writing the same twice writes it once."""

MOST_FOUND = 100
"""Results of one search; as `GET /search`."""

Result = TypeVar("Result")


class Memory(Documents, Protocol):
    """What an agent can read and write. JSON-shaped, with the names of DESIGN §6."""

    def search(self, query: str, limit: int, project: str | None) -> list[Fields]: ...
    def conversations(self, limit: int) -> list[Fields]: ...
    def conversation(self, conversation_id: str, limit: int) -> Fields: ...
    def ask(self, fields: Fields) -> Fields: ...
    def draft_handoff(self, conversation_id: str | None) -> Fields:
        """
        Args:
            conversation_id: None: the one that was last used.
        """
        ...

    def confirm_handoff(self, confirmation: Fields) -> Fields: ...


class SharedMemory:
    """Gives each call the memory. Safe to use from any thread.

    Args:
        wait_s: how long a call waits for its turn, in seconds.
    """

    def __init__(self, settings: Settings, wait_s: float = WAIT_S) -> None:
        self._settings = settings
        self._wait_s = wait_s
        # Calls of this process queue here, in order; only one at a time asks for the lock.
        self._turn = threading.Lock()

    def look(self, work: Callable[[Memory], Result], *, project: str | None = None) -> Result:
        """`do` for what only reads: a program that keeps the documents is not waited for long."""
        try:
            return self._repeated(work, project, min(self._wait_s, LOOKING_WAIT_S))
        except StoreLocked as refusal:
            with LookingMemory(self._settings, refusal) as looking:
                looking.choose(project)
                return work(looking)

    def do(
        self,
        work: Callable[[Memory], Result],
        *,
        project: str | None = None,
        author: str | None = None,
        repeatable: bool = True,
    ) -> Result:
        """Do something with the memory.

        Args:
            project: whose documents are meant; None: the active one's.
            author: who writes, for the documents' history; None: this tier.
            repeatable: doing it twice is the same as doing it once.

        Raises:
            StoreLocked: another program kept the documents for too long.
            OrchestratorError, SharedContextError: whatever `work` raises.
        """

        def signed(memory: Memory) -> Result:
            if author is not None:
                memory.write_as(author)
            return work(memory)

        if repeatable:
            return self._repeated(signed, project, self._wait_s)
        return self._once(signed, project, self._wait_s)

    def _repeated(self, work: Callable[[Memory], Result], project: str | None, wait_s: float) -> Result:
        for _ in range(ATTEMPTS - 1):
            try:
                return self._once(work, project, wait_s)
            except BackendUnreachable:
                continue
        return self._once(work, project, wait_s)

    def _once(self, work: Callable[[Memory], Result], project: str | None, wait_s: float) -> Result:
        from shared_context.documents.context_folder import ContextFolder

        if not self._turn.acquire(timeout=wait_s):
            raise StoreLocked("Other calls wait for the memory.", "Try again a little later.")
        try:
            place = reach(self._settings, wait_s)
            if isinstance(place, ContextFolder):
                with FolderMemory(place, self._settings) as here:
                    here.choose(project)
                    return work(here)
        finally:
            self._turn.release()
        # A server takes many calls at once.
        with ServedMemory(place) as there:
            there.choose(project or self._settings.context.project)
            return work(there)


class FolderMemory(FolderDocuments):
    """The memory in the data folder, opened by this process."""

    def search(self, query: str, limit: int, project: str | None) -> list[Fields]:
        from orchestrator_core.assistant.projects import paths_of
        from shared_context.conversations.store import ConversationStore

        within = None if project is None else paths_of(self._opened, project)
        with ConversationStore.open(self._settings.data / "memory.db") as store:
            return search_store(
                self._settings, store, query, limit, self._opened.of_all_projects, within=within
            )

    def conversations(self, limit: int) -> list[Fields]:
        return stored_conversations(self._settings, limit)

    def conversation(self, conversation_id: str, limit: int) -> Fields:
        return stored_conversation(self._settings, conversation_id, limit)

    def draft_handoff(self, conversation_id: str | None) -> Fields:
        with self._handoffs() as handoffs:
            return handoffs.draft_handoff(chosen(conversation_id, handoffs.latest), use_model=False)

    def confirm_handoff(self, confirmation: Fields) -> Fields:
        with self._handoffs() as handoffs:
            return handoffs.confirm_handoff(confirmation)

    @contextmanager
    def _handoffs(self) -> Iterator[LocalHandoffs]:
        from shared_context.conversations.store import ConversationStore

        with ConversationStore.open(self._settings.data / "memory.db") as store:
            yield LocalHandoffs(store, self._folder)

    def ask(self, fields: Fields) -> Fields:
        raise Conflict(
            "No desktop server runs for this data folder, so there is no model to ask.",
            hint="Start `orchestrator serve`.",
        )


class ServedMemory(ServedDocuments):
    """The memory of a running desktop server."""

    def search(self, query: str, limit: int, project: str | None) -> list[Fields]:
        limit = min(limit, MOST_FOUND)
        return list(self._server.call("GET", "/search", q=query, limit=limit, project=project)["results"])

    def conversations(self, limit: int) -> list[Fields]:
        return list(self._server.call("GET", "/conversations", limit=limit)["conversations"])

    def conversation(self, conversation_id: str, limit: int) -> Fields:
        path = f"/conversations/{quote(conversation_id, safe='')}"
        return dict(self._server.call("GET", path, limit=limit))

    def draft_handoff(self, conversation_id: str | None) -> Fields:
        known = chosen(conversation_id, self._server.latest)
        body = {"conversation_id": known, "project": self._project}
        return dict(self._server.call("POST", "/handoff", body=body))

    def confirm_handoff(self, confirmation: Fields) -> Fields:
        body = {**confirmation, "project": self._project}
        return dict(self._server.call("POST", "/handoff/confirm", body=body, headers=self._signature()))

    def ask(self, fields: Fields) -> Fields:
        from orchestrator_core.chat_request import ChatRequest

        fields = {**fields, "project": self._project}
        if fields.get("conversation_id") is None:
            fields |= {"conversation_id": new_id(), "new_conversation": True}
        done: Any = {}
        for event in self._server.ask(ChatRequest.parse(fields)):
            done = event.data
        return dict(done)


def chosen(conversation_id: str | None, latest: Callable[[], str | None]) -> str:
    """
    Raises:
        NotFound: none was named, and nothing was said yet.
    """
    chosen_id = conversation_id or latest()
    if chosen_id is None:
        raise NotFound("Nothing was said yet, so there is no session to end.")
    return chosen_id

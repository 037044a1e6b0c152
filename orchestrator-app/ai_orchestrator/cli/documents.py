"""The handoff documents of a command: in this process, or through the running server."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self
from urllib.parse import quote

if TYPE_CHECKING:
    from orchestrator_core.handoff.memory import MemoryItems
    from orchestrator_core.settings import Settings
    from shared_context.documents.context_folder import ContextFolder

    from ai_orchestrator.cli.link.server import ServerLink

Fields = dict[str, Any]
"""JSON-shaped, with the names of DESIGN §6."""


class Documents(Protocol):
    def choose(self, project: str | None) -> None:
        """Mean another project's documents from now on; None: the active one's.

        Raises:
            NotFound, DocumentNotFound: there is no such project (a server says so later).
        """
        ...

    def write_as(self, author: str) -> None:
        """Write under this name from now on; without one it is this tier that writes.

        Raises:
            DocumentRejected: the name cannot be used (a server says so later).
        """
        ...

    def index(self) -> Fields: ...
    def show(self, name: str) -> Fields: ...
    def edit(self, name: str, text: str, base_version: str) -> Fields: ...
    def append(self, text: str, entry_id: str | None = None) -> Fields: ...
    def history(self, name: str, limit: int) -> list[Fields]: ...
    def text_at(self, name: str, version: str) -> str: ...
    def restore(self, name: str, version: str) -> Fields: ...
    def conflicts(self) -> list[Fields]: ...
    def resolve(self, conflict_id: str, text: str) -> Fields: ...
    def items(self, state: str | None = None) -> list[Fields]: ...
    def reword_item(self, item_id: str, text: str) -> Fields: ...
    def settle_item(self, item_id: str, outcome: Literal["done", "dropped"]) -> Fields: ...
    def forget_item(self, item_id: str, history: bool = False) -> Fields: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...


def open_documents(settings: Settings) -> Documents:
    """
    Raises:
        StoreLocked: a process that is no server holds the folder.
    """
    from shared_context.documents.context_folder import ContextFolder

    from ai_orchestrator.holding import reach

    place = reach(settings)
    if isinstance(place, ContextFolder):
        return FolderDocuments(place, settings)
    served = ServedDocuments(place)
    served.choose(settings.context.project)
    return served


class FolderDocuments:
    def __init__(self, folder: ContextFolder, settings: Settings) -> None:
        self._opened = folder
        self._folder = folder
        self._settings = settings

    def choose(self, project: str | None) -> None:
        from orchestrator_core.assistant.projects import documents_of

        self._folder = documents_of(self._opened, project) or self._opened

    def write_as(self, author: str) -> None:
        self._folder = self._folder.written_by(author)

    def index(self) -> Fields:
        fields = ("name", "version", "updated_at", "author", "conflicts")
        return {
            "project": self._folder.project,
            "projects": self._folder.projects(),
            "documents": [
                {name: getattr(item, name) for name in fields} | {"characters": len(item.text)}
                for item in self._folder.documents()
            ],
            "problems": self._folder.problems(),
        }

    def show(self, name: str) -> Fields:
        return _text_fields(self._folder.document(name))

    def edit(self, name: str, text: str, base_version: str) -> Fields:
        return _text_fields(self._folder.edit(name, text, base_version=base_version))

    def append(self, text: str, entry_id: str | None = None) -> Fields:
        document, entry_id = self._folder.append_entry(text, entry_id=entry_id)
        return {"name": document.name, "version": document.version, "entry_id": entry_id}

    def history(self, name: str, limit: int) -> list[Fields]:
        return [asdict(item) for item in self._folder.history(name, limit)]

    def text_at(self, name: str, version: str) -> str:
        return self._folder.text_at(name, version)

    def restore(self, name: str, version: str) -> Fields:
        return _text_fields(self._folder.restore(name, version))

    def conflicts(self) -> list[Fields]:
        return [asdict(item) for item in self._folder.conflicts()]

    def resolve(self, conflict_id: str, text: str) -> Fields:
        return _text_fields(self._folder.resolve(conflict_id, text))

    def items(self, state: str | None = None) -> list[Fields]:
        return [asdict(item) for item in self._memory.items(state)]

    def reword_item(self, item_id: str, text: str) -> Fields:
        return asdict(self._memory.edit(item_id, text))

    def settle_item(self, item_id: str, outcome: Literal["done", "dropped"]) -> Fields:
        return asdict(self._memory.settle(item_id, outcome))

    def forget_item(self, item_id: str, history: bool = False) -> Fields:
        from shared_context.conversations.store import ConversationStore

        with ConversationStore.open(self._settings.data / "memory.db") as conversations:
            forgotten = self._memory.forget(item_id, conversations, history=history)
            conversations.scrub()
        return asdict(forgotten)

    @property
    def _memory(self) -> MemoryItems:
        from orchestrator_core.handoff.memory import MemoryItems

        return MemoryItems(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()


class ServedDocuments:
    def __init__(self, server: ServerLink) -> None:
        self._server = server
        self._project: str | None = None
        self._author: str | None = None

    def choose(self, project: str | None) -> None:
        self._project = project

    def write_as(self, author: str) -> None:
        self._author = author

    def index(self) -> Fields:
        return dict(self._call("GET", "/context"))

    def show(self, name: str) -> Fields:
        return dict(self._call("GET", f"/context/{quote(name, safe='')}"))

    def edit(self, name: str, text: str, base_version: str) -> Fields:
        headers = {"If-Match": f'"{base_version}"', **self._signature()}
        path = f"/context/{quote(name, safe='')}"
        return dict(self._call("PUT", path, body={"text": text}, headers=headers))

    def append(self, text: str, entry_id: str | None = None) -> Fields:
        body = {"text": text} | ({"entry_id": entry_id} if entry_id else {})
        return dict(
            self._call("POST", "/context/SESSION_LOG.md/entries", body=body, headers=self._signature())
        )

    def history(self, name: str, limit: int) -> list[Fields]:
        path = f"/context/{quote(name, safe='')}/history"
        return list(self._call("GET", path, limit=limit)["versions"])

    def text_at(self, name: str, version: str) -> str:
        path = f"/context/{quote(name, safe='')}/history/{quote(version, safe='')}"
        return str(self._call("GET", path)["text"])

    def restore(self, name: str, version: str) -> Fields:
        path = f"/context/{quote(name, safe='')}/restore"
        return dict(self._call("POST", path, body={"version": version}, headers=self._signature()))

    def conflicts(self) -> list[Fields]:
        return list(self._call("GET", "/context/conflicts")["conflicts"])

    def resolve(self, conflict_id: str, text: str) -> Fields:
        path = f"/context/conflicts/{quote(conflict_id, safe='')}"
        return dict(self._call("POST", path, body={"text": text}, headers=self._signature()))

    def items(self, state: str | None = None) -> list[Fields]:
        return list(self._call("GET", "/memory", state=state)["items"])

    def reword_item(self, item_id: str, text: str) -> Fields:
        return self._change_item(item_id, {"text": text})

    def settle_item(self, item_id: str, outcome: Literal["done", "dropped"]) -> Fields:
        return self._change_item(item_id, {"outcome": outcome})

    def forget_item(self, item_id: str, history: bool = False) -> Fields:
        path = f"/memory/{quote(item_id, safe='')}"
        return dict(self._call("DELETE", path, history=history or None, headers=self._signature()))

    def _change_item(self, item_id: str, body: Fields) -> Fields:
        path = f"/memory/{quote(item_id, safe='')}"
        return dict(self._call("PATCH", path, body=body, headers=self._signature()))

    def _signature(self) -> dict[str, str]:
        return {} if self._author is None else {"X-Author": self._author}

    def _call(self, method: str, path: str, **options: Any) -> Any:
        return self._server.call(method, path, project=self._project, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.close()


def _text_fields(document: Any) -> Fields:
    return {"name": document.name, "version": document.version, "text": document.text}

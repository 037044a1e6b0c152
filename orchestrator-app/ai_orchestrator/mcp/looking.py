"""The memory as far as it can be read while another program keeps the documents to itself.

The documents are plain files, replaced in one step, and SQLite lets others read: so reading never has to
wait for `orchestrator chat` to end. Versions are hashes of texts, so an edit can be based on what was read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

from orchestrator_core.errors import NotFound
from shared_context.documents.document import VERSION_DIGITS
from shared_context.documents.document_folder import projects_in
from shared_context.documents.document_names import DOCUMENT_NAMES, document_path
from shared_context.documents.history import text_version
from shared_context.errors import DocumentNotFound, DocumentRejected, StoreLocked

from ai_orchestrator.cli.documents import Fields
from ai_orchestrator.cli.stored import found_in_memory, stored_conversation, stored_conversations

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings


class LookingMemory:
    """Reads; whatever would write is refused.

    Args:
        refusal: says who keeps the documents.
    """

    def __init__(self, settings: Settings, refusal: StoreLocked) -> None:
        self._settings = settings
        self._refusal = refusal
        self._project = settings.context.project

    def choose(self, project: str | None) -> None:
        if project is not None and project not in (
            self._project,
            *projects_in(self._settings.context_folder),
        ):
            raise NotFound(f"There is no project {project!r}.", hint="list_documents names those there are.")
        self._project = project or self._project

    def write_as(self, author: str) -> None:
        pass

    def index(self) -> Fields:
        there = [name for name in DOCUMENT_NAMES if self._path(name).is_file()]
        return {
            "project": self._project,
            "projects": projects_in(self._settings.context_folder),
            "documents": [self._described(name) for name in there],
            "problems": [f"{self._refusal.message} Who wrote what, and conflicts, are not known now."],
        }

    def show(self, name: str) -> Fields:
        try:
            text = self._path(name).read_bytes().decode("utf-8")
        except OSError as error:
            raise DocumentNotFound(f"{name} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise DocumentRejected(f"{name} is not UTF-8 text.", "Mend the file.") from error
        return {"name": name, "version": text_version(text)[:VERSION_DIGITS], "text": text}

    def search(self, query: str, limit: int, project: str | None) -> list[Fields]:
        return found_in_memory(self._settings, query, limit, project)

    def conversations(self, limit: int) -> list[Fields]:
        return stored_conversations(self._settings, limit)

    def conversation(self, conversation_id: str, limit: int) -> Fields:
        return stored_conversation(self._settings, conversation_id, limit)

    def edit(self, name: str, text: str, base_version: str) -> NoReturn:
        raise self._refusal

    def append(self, text: str, entry_id: str | None = None) -> NoReturn:
        raise self._refusal

    def history(self, name: str, limit: int) -> NoReturn:
        raise self._refusal

    def text_at(self, name: str, version: str) -> NoReturn:
        raise self._refusal

    def restore(self, name: str, version: str) -> NoReturn:
        raise self._refusal

    def conflicts(self) -> NoReturn:
        raise self._refusal

    def resolve(self, conflict_id: str, text: str) -> NoReturn:
        raise self._refusal

    def items(self, state: str | None = None) -> NoReturn:
        raise self._refusal

    def reword_item(self, item_id: str, text: str) -> NoReturn:
        raise self._refusal

    def settle_item(self, item_id: str, outcome: str) -> NoReturn:
        raise self._refusal

    def forget_item(self, item_id: str, history: bool = False) -> NoReturn:
        raise self._refusal

    def ask(self, fields: Fields) -> NoReturn:
        raise self._refusal

    def draft_handoff(self, conversation_id: str | None) -> NoReturn:
        raise self._refusal

    def confirm_handoff(self, confirmation: Fields) -> NoReturn:
        raise self._refusal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def _path(self, name: str) -> Path:
        return self._settings.context_folder / document_path(name, self._project)

    def _described(self, name: str) -> Fields:
        changed = datetime.fromtimestamp(self._path(name).stat().st_mtime, UTC)
        return {
            "name": name,
            "version": self.show(name)["version"],
            "updated_at": changed.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "author": "unknown",
            "conflicts": 0,
        }

"""Data folders with something in every part, and what is in them."""

from __future__ import annotations

from pathlib import Path

from orchestrator_core.runs.store import RunStore
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder


def fill(data: Path, text: str, *, context: Path | None = None) -> None:
    """Say something in every part of the memory, then close it."""
    with ConversationStore.open(data / "memory.db") as store:
        store.add_message("default", "user", text)
    RunStore.open(data / "runs.db").close()
    folder = ContextFolder(context or data / "context", state=data / "context-state")
    folder.append_entry(text)
    folder.close()
    (data / "vps.json").write_text(f'{{"credential": "{text}"}}')
    (data / "vps.json").chmod(0o600)


def said(data: Path) -> list[str]:
    with ConversationStore.open(data / "memory.db") as store:
        return [message.content for message in store.messages("default")]


def logged(data: Path, context: Path | None = None) -> str:
    folder = ContextFolder(context or data / "context", state=data / "context-state")
    try:
        assert folder.problems() == []
        return folder.document("SESSION_LOG.md").text
    finally:
        folder.close()

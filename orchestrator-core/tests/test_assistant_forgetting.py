"""What was deleted leaves the search index soon, without anybody searching."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from orchestrator_core.assistant import open_assistant
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import NotFound
from shared_context.conversations.store import ConversationStore
from shared_context.exchange.message_log import MessageLog
from shared_context.exchange.wire import Span
from support.desktop import settings_for
from support.scripted import ScriptedBackend, echo
from support.waiting import wait_until


def indexed(data: Path) -> set[str]:
    with closing(sqlite3.connect(data / "search.db")) as connection:
        return {row[0] for row in connection.execute("SELECT text FROM passages")}


def wait_until_indexed(data: Path, there: set[str]) -> None:
    wait_until(lambda: (found := indexed(data)) >= there and len(found) == len(there))


def test_a_deleted_conversation_leaves_the_index_at_once(tmp_path: Path) -> None:
    with open_assistant(settings_for(tmp_path), backend=ScriptedBackend(echo)) as assistant:
        store = assistant.conversations
        store.create("secret")
        store.add_message("secret", "user", "The safe opens with 4711.")
        store.add_message("default", "user", "The safe is green.")
        wait_until_indexed(tmp_path, {"The safe opens with 4711.", "The safe is green."})
        store.delete("secret")
        wait_until_indexed(tmp_path, {"The safe is green."})
        store.clear("default")
        wait_until_indexed(tmp_path, set())


def test_nothing_goes_on_after_the_assistant_was_closed(tmp_path: Path) -> None:
    open_assistant(settings_for(tmp_path), backend=ScriptedBackend(echo)).close()
    assert "search-index" not in {thread.name for thread in threading.enumerate()}


def test_what_another_tier_deleted_leaves_the_runs_of_this_one(tmp_path: Path) -> None:
    backend = ScriptedBackend(echo)
    with (
        open_assistant(settings_for(tmp_path / "vps"), "vps", backend=backend) as vps,
        ConversationStore.open(tmp_path / "desktop.db") as desktop,
    ):
        question = ChatRequest(message="The xylophonist?", conversation_id="secret", new_conversation=True)
        run = vps.ask(question)
        run.wait(20)
        here, there = MessageLog(vps.conversations), MessageLog(desktop)
        there.receive(map(Span.model_validate, here.since(there.vector()).spans))
        desktop.delete("secret")
        here.receive(map(Span.model_validate, there.since(here.vector()).spans))

        def traces() -> list[str]:
            files = [file for file in (tmp_path / "vps").rglob("*.db*") if file.is_file()]
            return [file.name for file in files if b"xylophonist" in file.read_bytes()]

        wait_until(lambda: not traces())
        with pytest.raises(NotFound):
            vps.runs.get(run.run_id)

"""What was deleted leaves the search index soon, without anybody searching."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from orchestrator_core.assistant import open_assistant
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

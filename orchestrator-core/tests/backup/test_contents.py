from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from orchestrator_core.backup.contents import files_of, left_out


@pytest.mark.parametrize(
    "path",
    [
        "models/a.gguf", "models", "identity.json", "engine/x.bin", "search.db", "search.db-wal", "lock", "lock.pid",
        "context-state/lock", "server.json", "orchestrator.log", "orchestrator.log.1", "memory.db-wal",
        "memory.db-shm", "memory.db.v1.bak", "memory.db.v1.bak.abc.partial",
        "context/.SESSION_LOG.md.orchestrator-new", "context-state/history.git/HEAD.lock", ".server-abc",
    ],
)  # fmt: skip
def test_what_can_be_had_again_or_belongs_to_a_process_stays_out(path: str):
    assert left_out(PurePosixPath(path))


@pytest.mark.parametrize(
    "path",
    [
        "memory.db", "runs.db", "vps.json", "relay.db", "devices.json", "context/SESSION_LOG.md",
        "context/house/SESSION_LOG.md", "context/models/PROJECT_CONTEXT.md", "context-state/documents.db",
        "context-state/history.git/objects/ab/cdef", "exports/conversation_history.json",
        "something nobody thought of",
    ],
)  # fmt: skip
def test_everything_else_belongs_in_it(path: str):
    assert not left_out(PurePosixPath(path))


def test_links_and_pipes_are_left_out_and_said(tmp_path: Path):
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "a.md").write_text("a")
    (tmp_path / "context" / "link.md").symlink_to(tmp_path / "context" / "a.md")
    (tmp_path / "circle").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    notes: list[str] = []
    assert list(files_of(tmp_path, notes)) == [PurePosixPath("context/a.md")]
    assert sorted(note.split(" is ")[0] for note in notes) == ["circle", "context/link.md", "pipe"]

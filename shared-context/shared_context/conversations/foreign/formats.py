"""Which program wrote a file, known by what is in it, not by its name."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from shared_context.conversations.foreign import agent_sessions, chatgpt, claude, llm_logs, open_webui
from shared_context.conversations.foreign.conversation import (
    MOST_BYTES,
    ForeignConversation,
    json_of,
    read_only,
)
from shared_context.errors import InvalidImport

Reader = Callable[[Path], Iterator[ForeignConversation]]

KNOWN = "ChatGPT, Claude, Open WebUI, llm, Claude Code, Codex, OpenClaw"
_SQLITE = b"SQLite format 3\x00"
_AGENTS: dict[str, Reader] = {
    "claude-code": agent_sessions.read_claude_code,
    "codex": agent_sessions.read_codex,
    "openclaw": agent_sessions.read_openclaw,
}

_DOCUMENTS: tuple[tuple[Callable[[Any], bool], Reader], ...] = (
    (chatgpt.recognises, chatgpt.read),
    (claude.recognises, claude.read),
    (open_webui.recognises, open_webui.read),
)
_DATABASES: tuple[tuple[Callable[[frozenset[str]], bool], Reader], ...] = (
    (llm_logs.recognises_database, llm_logs.read_database),
    (open_webui.recognises_database, open_webui.read_database),
)


def files_in(path: Path) -> list[Path]:
    """The file itself, or the files of a folder and its subfolders that may be exports."""
    if not path.is_dir():
        return [path]
    return sorted(file for suffix in ("json", "jsonl", "db", "zip") for file in path.rglob(f"*.{suffix}"))


def conversations_in(path: Path) -> Iterator[ForeignConversation]:
    """The conversations of one file, one after the other.

    Raises:
        InvalidImport: no program that is known wrote it, or it is damaged.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(16)
    except OSError as error:
        raise InvalidImport(f"{path} cannot be read: {error.strerror}") from None
    if beginning.startswith(b"PK"):
        yield from _in_zip(path)
    elif beginning == _SQLITE:
        yield from _database_reader(path)(path)
    elif (program := agent_sessions.program_of(path)) is not None and not _is_one_document(path):
        yield from _AGENTS[program](path)
    else:
        yield from _json_reader(path)(path)


def _is_one_document(path: Path) -> bool:
    """Whether the whole file is one JSON document rather than one on each line."""
    with path.open("rb") as file:
        return file.readline().strip() in (b"[", b"{")


def _json_reader(path: Path) -> Reader:
    data = json_of(path)
    for recognises, reader in _DOCUMENTS:
        if recognises(data):
            return reader
    raise _unknown(path)


def _database_reader(path: Path) -> Reader:
    try:
        with contextlib.closing(read_only(path)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = frozenset(str(row[0]) for row in rows)
    except sqlite3.DatabaseError as error:
        raise InvalidImport(f"{path.name} is no readable database: {error}") from None
    for recognises, reader in _DATABASES:
        if recognises(tables):
            return reader
    raise _unknown(path)


def _in_zip(path: Path) -> Iterator[ForeignConversation]:
    """ChatGPT and Claude send their export as an archive with `conversations.json` in it."""
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            names = [info for info in archive.infolist() if info.filename.endswith("conversations.json")]
            if not names:
                raise _unknown(path)
            for info in names:
                if info.file_size > MOST_BYTES:
                    raise InvalidImport(f"{info.filename} in {path.name} is too large.")
                target = Path(folder) / "conversations.json"
                with archive.open(info) as source, target.open("wb") as file:
                    while chunk := source.read(1 << 20):
                        file.write(chunk)
                yield from _json_reader(target)(target)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise InvalidImport(f"{path.name} is a damaged archive: {error}") from None


def _unknown(path: Path) -> InvalidImport:
    return InvalidImport(
        f"No program that is known here wrote {path.name}.", f"Exports of these can be read: {KNOWN}."
    )

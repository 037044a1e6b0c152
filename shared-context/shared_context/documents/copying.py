"""Copies of the memory's files, true to one moment, while another process writes them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from shared_context.documents.document_file import read_document
from shared_context.documents.document_folder import archives_in, projects_in
from shared_context.documents.document_names import DOCUMENT_NAMES, PORTFOLIO, document_path
from shared_context.storage.sqlite_errors import corrupt, translated, translated_system

WAIT_FOR_WRITERS_S = 30.0
"""How long a copy of the documents waits for its turn among the writers."""

SETTLING_TRIES = 3
"""Attempts to catch the documents while no editor is in the middle of a save."""

_HISTORY = "history.git"
_DATABASE = "documents.db"


def copy_database(source: Path, target: Path) -> None:
    """A copy of one SQLite file as it was at one moment, checked, complete without a -wal file.

    Raises:
        StoreCorrupt: the file is damaged, or no database. StoreFull, StoreError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with translated(source), closing(_open(source)) as connection:
        _copy(connection, target)
    shutil.copymode(source, target)
    check_database(target)


def check_database(path: Path) -> None:
    """Read a database that nobody has open, from end to end, without making any file beside it.

    Raises:
        StoreCorrupt: it is damaged.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with translated(path), closing(sqlite3.connect(uri, uri=True)) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise corrupt(path, verdict)


def copy_documents(folder: Path, state: Path, *, to_folder: Path, to_state: Path) -> None:
    """The handoff documents of all projects, with their memory and history, of one moment.

    Copied one after the other while a server writes, a file could be older than the memory of it;
    opened later, that would look like an edit somebody made. So writers wait while the memory, the
    files and the history's branches are read (milliseconds; a quarter of a second for 80,000 lines);
    the history's objects, which never change, follow.

    Args:
        folder: the context folder. Only documents are copied, and only regular files.
        state: the memory's folder (see `ContextFolder`); may be missing.

    Raises:
        StoreError: the memory cannot be read. OSError: a file cannot.
    """
    for _ in range(SETTLING_TRIES):
        settled = {path: read_document(folder / path, folder, None).content for path in _documents(folder)}
        with _while_writers_wait(state / _DATABASE) as database:
            if database is not None:
                to_state.mkdir(parents=True, exist_ok=True)
                _copy(database, to_state / _DATABASE)
            contents = {path: _content(folder / path) for path in _documents(folder)}
            if (state / _HISTORY).is_dir():
                _copy_files(state / _HISTORY, to_state / _HISTORY, _branches(state / _HISTORY))
        if contents == settled:
            break
    for path, content in contents.items():
        if content is not None:
            target = to_folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            shutil.copystat(folder / path, target)
    if (state / _HISTORY).is_dir():
        _copy_objects(state / _HISTORY / "objects", to_state / _HISTORY / "objects")
    if (to_state / _DATABASE).exists():
        check_database(to_state / _DATABASE)


def document_files(folder: Path) -> list[Path]:
    """The documents of all projects that are regular files in the context folder, relative to it."""
    return [Path(path) for path in _documents(folder) if _content(folder / path) is not None]


def _documents(folder: Path) -> list[str]:
    projects = [
        document_path(name, project)
        for project in projects_in(folder)
        for name in (*DOCUMENT_NAMES, *archives_in(folder / project))
        if name != PORTFOLIO
    ]
    return [*DOCUMENT_NAMES, *archives_in(folder), *projects]


def _content(path: Path) -> bytes | None:
    """None when there is no such file, or it is a link: the memory leaves that alone, or it leads
    to another of these files."""
    if path.is_symlink():
        return None
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


@contextmanager
def _while_writers_wait(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A connection that sees the last commit, after which nothing is committed in the block."""
    if not path.exists():
        yield None
        return
    with translated(path), closing(_open(path)) as holder, closing(_open(path)) as reader:
        holder.execute("BEGIN IMMEDIATE")
        try:
            yield reader
        finally:
            holder.execute("ROLLBACK")


def _open(path: Path) -> sqlite3.Connection:
    # mode=rw: a file that is gone is an error, not a new empty database.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=WAIT_FOR_WRITERS_S, isolation_level=None)


def _copy(source: sqlite3.Connection, target: Path) -> None:
    target.unlink(missing_ok=True)
    # In one step: between several, every commit of another process would begin the copy anew.
    with translated(target), closing(sqlite3.connect(target)) as connection:
        # Whoever keeps the copy syncs it: writers may be waiting.
        connection.execute("PRAGMA synchronous = OFF")
        source.backup(connection, pages=-1)


def _branches(repository: Path) -> list[Path]:
    """All that is not an object: what the branches point to, and settings."""
    paths = (path.relative_to(repository) for path in repository.rglob("*"))
    return [path for path in paths if path.parts[0] != "objects" and path.suffix != ".lock"]


def _copy_objects(source: Path, target: Path) -> None:
    """Loose objects first: one that is packed meanwhile is in a pack, which is listed later."""
    (target / "pack").mkdir(parents=True, exist_ok=True)
    loose = [path.relative_to(source) for path in source.glob("[0-9a-f][0-9a-f]/*")]
    _copy_files(source, target, [path for path in loose if len(path.name) == 38], may_vanish=True)
    for _ in range(SETTLING_TRIES):
        packs = [Path("pack", index.name) for index in (source / "pack").glob("*.idx")]
        wanted = [pack.with_suffix(ending) for pack in packs for ending in (".pack", ".idx")]
        if _copy_files(source, target, wanted, may_vanish=True):
            return


def _copy_files(source: Path, target: Path, paths: Iterable[Path], *, may_vanish: bool = False) -> bool:
    """Whether all were there."""
    complete = True
    for path in paths:
        copy = target / path
        if (source / path).is_dir():
            copy.mkdir(parents=True, exist_ok=True)
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        with translated_system(copy):
            try:
                shutil.copy2(source / path, copy)
            except FileNotFoundError:
                if not may_vanish:
                    raise
                complete = False
    return complete

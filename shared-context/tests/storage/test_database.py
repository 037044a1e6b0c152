from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_context.errors import StoreCorrupt, StoreError, StoreFull, StoreLocked
from shared_context.storage import database as database_module
from shared_context.storage.database import Database
from support.children import Child
from support.small_disk import small_disk


def m001_notes(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE notes (text TEXT NOT NULL UNIQUE)")


MIGRATIONS = (m001_notes,)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "notes.db", MIGRATIONS)
    yield database
    database.close()


def add(database: Database, *texts: str) -> None:
    with database.write() as connection:
        for text in texts:
            connection.execute("INSERT INTO notes VALUES (?)", (text,))


def notes(database: Database) -> list[str]:
    with database.read() as connection:
        return [row["text"] for row in connection.execute("SELECT text FROM notes ORDER BY rowid")]


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    first = Database(tmp_path / "new" / "folder" / "notes.db", MIGRATIONS)
    add(first, "kept")
    first.close()
    second = Database(tmp_path / "new" / "folder" / "notes.db", MIGRATIONS)
    assert notes(second) == ["kept"]
    second.close()


def test_an_error_in_a_write_leaves_nothing_of_it(database: Database) -> None:
    with pytest.raises(RuntimeError, match="half-way"), database.write() as connection:
        connection.execute("INSERT INTO notes VALUES ('half')")
        raise RuntimeError("half-way")
    add(database, "after")
    assert notes(database) == ["after"]


def test_a_write_inside_a_write_is_part_of_it(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write():
        add(database, "inner")
        raise RuntimeError
    assert notes(database) == []


def test_a_programming_mistake_is_not_called_a_broken_store(database: Database) -> None:
    add(database, "once")
    with pytest.raises(sqlite3.IntegrityError):
        add(database, "once")


def test_a_reader_sees_one_moment_and_does_not_wait_for_the_writer(database: Database) -> None:
    add(database, "before")
    with database.read() as reader, database.write() as writer:
        assert reader.execute("SELECT count(*) FROM notes").fetchone()[0] == 1
        writer.execute("INSERT INTO notes VALUES ('meanwhile')")
        assert reader.execute("SELECT count(*) FROM notes").fetchone()[0] == 1
    assert notes(database) == ["before", "meanwhile"]


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError), database.read() as connection:
        connection.execute("INSERT INTO notes VALUES ('sneaked in')")


def test_many_readers_and_writers_lose_nothing(database: Database) -> None:
    seen: list[int] = []
    failures: list[BaseException] = []
    begin = threading.Barrier(12)

    def write(name: str) -> None:
        begin.wait(10)
        for number in range(25):
            add(database, f"{name}-{number}")

    def read() -> None:
        begin.wait(10)
        last = 0
        for _ in range(25):
            count = len(notes(database))
            assert count >= last
            last = count
        seen.append(last)

    def guarded(work: object, *arguments: str) -> None:
        try:
            work(*arguments)  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(write, f"w{n}")) for n in range(4)]
    threads += [threading.Thread(target=guarded, args=(read,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures
    assert len(seen) == 8
    assert len(notes(database)) == 100


def test_idle_connections_are_bounded(database: Database) -> None:
    begin = threading.Barrier(20)

    def read() -> None:
        with database.read():
            begin.wait(10)

    threads = [threading.Thread(target=read) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert 0 < len(database._readers) <= database_module.IDLE_READERS


def test_syncing_moves_what_was_committed_into_the_file(tmp_path: Path) -> None:
    database = Database(tmp_path / "notes.db", MIGRATIONS, every_commit_durable=False)
    add(database, "x" * 9000)
    before = database.path.stat().st_size
    database.sync()
    assert database.path.stat().st_size > before
    database.close()
    with pytest.raises(StoreError, match="closed"):
        database.sync()


def test_closing_twice_is_fine_and_using_it_then_is_an_error(database: Database) -> None:
    with database.read():
        database.close()
    database.close()
    with pytest.raises(StoreError, match="closed"):
        notes(database)
    with pytest.raises(StoreError, match="closed"):
        add(database, "late")


@pytest.mark.parametrize("content", [b"this is no database", b"x" * 5000, b"SQLite format 3\x00"])
def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match=r"notes\.db") as caught:
        Database(path, MIGRATIONS)
    assert "Move notes.db away" in (caught.value.hint or "")
    assert path.read_bytes() == content


def test_a_damaged_page_is_reported_as_such(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    database = Database(path, MIGRATIONS)
    add(database, *(f"{number} {'x' * 500}" for number in range(100)))
    database.close()
    content = bytearray(path.read_bytes())
    content[2 * 4096 :] = b"\xff" * (len(content) - 2 * 4096)
    path.write_bytes(content)
    database = Database(path, MIGRATIONS)
    with pytest.raises(StoreCorrupt):
        notes(database)
    database.close()


def test_a_database_of_another_program_is_refused_and_not_altered(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="another program"):
        Database(path, MIGRATIONS)
    assert path.read_bytes() == before


def test_a_folder_in_the_way_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "notes.db").mkdir()
    with pytest.raises(StoreError):
        Database(tmp_path / "notes.db", MIGRATIONS)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        Database(tmp_path / "file" / "notes.db", MIGRATIONS)


def test_a_lock_held_by_another_process_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_S", 0.05)
    database = Database(tmp_path / "notes.db", MIGRATIONS)
    holder = """
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        print("held")
        sys.stdin.read()
    """
    with Child(holder, database.path) as child:
        assert child.line() == "held"
        with pytest.raises(StoreLocked):
            add(database, "blocked")
    add(database, "free again")
    assert notes(database) == ["free again"]
    database.close()


def fill(database: Database) -> int:
    """Write until it is full; returns how many notes were committed."""
    written = 0
    with pytest.raises(StoreFull) as caught:
        while written < 10_000:
            add(database, f"{written} {'x' * 3000}")
            written += 1
    assert "Free some space" in (caught.value.hint or "")
    return written


def test_a_full_disk_is_reported_and_the_committed_part_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 300_000)
        database = Database(disk / "notes.db", MIGRATIONS)
        written = fill(database)
        assert written > 0
        assert len(notes(database)) == written
        ballast.unlink()
        add(database, "room again")
        assert len(notes(database)) == written + 1
        database.close()
        assert len(notes_after_reopening(disk / "notes.db")) == written + 1


def test_a_disk_that_is_full_from_the_start_is_reported(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        with (disk / "ballast").open("wb") as ballast, pytest.raises(OSError, match="space"):
            while True:
                ballast.write(b"x" * 65_536)
                ballast.flush()
        with pytest.raises(StoreFull):
            Database(disk / "notes.db", MIGRATIONS)


def test_reaching_the_page_limit_is_reported_and_the_committed_part_stays(database: Database) -> None:
    with database.write() as connection:
        connection.execute("PRAGMA max_page_count = 50")
    written = fill(database)
    assert len(notes(database)) == written > 0


def test_a_file_size_limit_is_an_error_of_the_store(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    add_until_refused = """
        import resource, sys
        from pathlib import Path
        from shared_context.storage.database import Database
        from shared_context.errors import StoreError
        from shared_context.conversations.migrations import MIGRATIONS
        database = Database(Path(sys.argv[1]), MIGRATIONS)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        written = 0
        try:
            while written < 1000:
                with database.write() as connection:
                    connection.execute("INSERT INTO meta VALUES (?, ?)", (f"n{written}", "x" * 3000))
                written += 1
        except StoreError:
            print(written)
    """
    with Child(add_until_refused, path) as child:
        written = int(child.line())
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM meta WHERE key LIKE 'n%'").fetchone()[0] == written > 0
    connection.close()


def test_a_read_only_folder_is_reported() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        existing = folder / "existing.db"
        Database(existing, MIGRATIONS).close()
        existing.chmod(0o444)
        folder.chmod(0o555)
        without_rights = """
            import os, sys
            from pathlib import Path
            from shared_context.storage.database import Database
            from shared_context.errors import StoreReadOnly
            from shared_context.conversations.migrations import MIGRATIONS
            if os.getuid() == 0:
                os.setuid(65534)
            for name in ("existing.db", "new.db", "new/folder/new.db"):
                try:
                    Database(Path(sys.argv[1]) / name, MIGRATIONS)
                except StoreReadOnly as error:
                    print(error.hint)
        """
        with Child(without_rights, folder) as child:
            lines = child.rest()
        assert len(lines) == 3
        assert "writable" in lines[0]
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_kill_9_in_the_middle_of_writing_keeps_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    writer = """
        import sys
        from pathlib import Path
        from shared_context.storage.database import Database
        from shared_context.conversations.migrations import MIGRATIONS
        database = Database(Path(sys.argv[1]), MIGRATIONS, every_commit_durable=False)
        number = 0
        while True:
            with database.write() as connection:
                connection.execute("INSERT INTO meta VALUES (?, ?)", (f"n{number}", "x" * 2000))
            print(number)
            number += 1
    """
    for kills in range(3):
        path.unlink(missing_ok=True)
        with Child(writer, path) as child:
            for _ in range(20 * kills + 1):
                last = child.line()
            child.kill()
            committed = [*child.rest(), last]
        connection = sqlite3.connect(path)
        kept = connection.execute("SELECT count(*) FROM meta WHERE key LIKE 'n%'").fetchone()[0]
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        connection.close()
        # The kill may fall between a commit and its line.
        assert kept - (1 + max(int(line) for line in committed if line)) in (0, 1)
        for leftover in (path, *tmp_path.glob("notes.db-*")):
            leftover.unlink(missing_ok=True)


def notes_after_reopening(path: Path) -> list[str]:
    database = Database(path, MIGRATIONS)
    try:
        return notes(database)
    finally:
        database.close()


def test_only_the_owner_s_files_are_in_the_folder(database: Database) -> None:
    add(database, "x")
    database.close()
    assert [file.name for file in database.path.parent.iterdir()] == ["notes.db"]


def test_listeners_hear_of_each_commit_that_changed_something_once(database: Database) -> None:
    heard: list[list[str]] = []
    stop = database.on_commit(lambda: heard.append(notes(database)))
    with database.write():
        add(database, "one")
        add(database, "two")
    assert heard == [["one", "two"]]
    with pytest.raises(RuntimeError), database.write() as connection:
        connection.execute("INSERT INTO notes VALUES ('never')")
        raise RuntimeError
    with database.write():
        pass
    assert len(heard) == 1
    stop()
    add(database, "three")
    assert len(heard) == 1

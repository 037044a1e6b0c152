from __future__ import annotations

import hashlib
import sqlite3
import threading
from pathlib import Path

import pytest
from shared_context.errors import StoreFromFuture
from shared_context.storage.database import Database
from shared_context.storage.migrate import Migration, migrate
from support.children import Child


def m001_create_notes(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE notes (text TEXT)")


def m002_add_author(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE notes ADD COLUMN author TEXT DEFAULT 'nobody'")


def m003_add_tags(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE tags (text TEXT)")


def m003_fail_half_way(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE tags (text TEXT)")
    connection.execute("DELETE FROM notes")
    raise RuntimeError("half-way")


ALL = (m003_add_tags, m001_create_notes, m002_add_author)


def make(path: Path, *migrations: Migration) -> None:
    """A database with one note, closed."""
    database = Database(path, migrations)
    with database.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('old')")
    database.close()


def content(path: Path) -> tuple[int, list[str], list[tuple[object, ...]]]:
    """Schema version, tables, notes."""
    connection = sqlite3.connect(path)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]
    notes = connection.execute("SELECT * FROM notes").fetchall()
    connection.close()
    return version, tables, notes


def test_steps_run_in_the_order_of_their_names(tmp_path: Path) -> None:
    make(tmp_path / "a.db", *ALL)
    assert content(tmp_path / "a.db") == (3, ["notes", "tags"], [("old", "nobody")])
    assert not list(tmp_path.glob("*.bak"))


@pytest.mark.parametrize("wrong", [(m002_add_author,), (m001_create_notes, m003_add_tags)])
def test_a_gap_in_the_numbers_is_a_programming_mistake(tmp_path: Path, wrong: tuple[Migration, ...]) -> None:
    with pytest.raises(ValueError, match="should start with"):
        Database(tmp_path / "a.db", wrong)


def test_an_older_database_is_copied_and_then_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make(path, m001_create_notes)
    Database(path, ALL).close()
    assert content(path) == (3, ["notes", "tags"], [("old", "nobody")])
    assert content(tmp_path / "a.db.v1.bak") == (1, ["notes"], [("old",)])
    assert not list(tmp_path.glob("*.partial"))


def test_opening_again_neither_migrates_nor_copies(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make(path, *ALL)
    Database(path, ALL).close()
    assert not list(tmp_path.glob("*.bak"))


def test_a_failing_step_leaves_the_old_schema_and_data(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make(path, m001_create_notes)
    with pytest.raises(RuntimeError, match="half-way"):
        Database(path, (m001_create_notes, m002_add_author, m003_fail_half_way))
    assert content(path) == (1, ["notes"], [("old",)])
    Database(path, ALL).close()
    assert content(path) == (3, ["notes", "tags"], [("old", "nobody")])


def test_kill_9_half_way_leaves_the_old_schema_and_data(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make(path, m001_create_notes)
    stuck = """
        import sys
        from pathlib import Path
        from shared_context.storage.database import Database
        def m001_create_notes(connection): raise AssertionError
        def m002_get_stuck(connection):
            connection.execute("DELETE FROM notes")
            connection.execute("CREATE TABLE tags (text TEXT)")
            print("half-way")
            sys.stdin.read()
        Database(Path(sys.argv[1]), (m001_create_notes, m002_get_stuck))
    """
    with Child(stuck, path) as child:
        assert child.line() == "half-way"
        child.kill()
    Database(path, ALL).close()
    assert content(path) == (3, ["notes", "tags"], [("old", "nobody")])


def digests(folder: Path) -> dict[str, str]:
    """Of what holds data; SQLite's shared-memory file is only its scratch."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if not file.name.endswith("-shm") and file.stat().st_size
    }


def test_a_database_from_the_future_is_refused_and_not_altered(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make(path, *ALL)
    before = digests(tmp_path)
    with pytest.raises(StoreFromFuture, match="version 3; this program knows versions up to 2") as caught:
        Database(path, (m001_create_notes, m002_add_author))
    assert "Update the program" in (caught.value.hint or "")
    assert digests(tmp_path) == before


def test_a_future_that_is_only_in_the_log_of_a_crashed_process_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make(path, m001_create_notes)
    crash = """
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA user_version = 9")
        print("written")
        sys.stdin.read()
    """
    with Child(crash, path) as child:
        assert child.line() == "written"
        child.kill()
    before = digests(tmp_path)
    assert set(before) == {"a.db", "a.db-wal"}
    with pytest.raises(StoreFromFuture, match="version 9"):
        Database(path, ALL)
    assert digests(tmp_path) == before


def test_two_that_open_an_old_database_together_migrate_it_once(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make(path, m001_create_notes)
    begin = threading.Barrier(4)
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            begin.wait(10)
            Database(path, ALL).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert content(path) == (3, ["notes", "tags"], [("old", "nobody")])


def test_a_step_that_ran_elsewhere_while_waiting_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make(path, *ALL)
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, path, ALL)
    connection.close()
    assert content(path)[0] == 3

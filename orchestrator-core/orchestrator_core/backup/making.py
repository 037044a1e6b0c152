"""Making a backup: copy, archive, verify, put in place, remove old ones."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout
from shared_context.storage.atomic import sync_folder
from shared_context.storage.sqlite_errors import translated_system

from orchestrator_core.backup.archive import BackupManifest, check_archive, describe, write_archive
from orchestrator_core.backup.snapshot import DataPlace, take_snapshot
from orchestrator_core.errors import BackupError

STEPS = ("copied", "written", "verified", "in-place", "old-removed")

_NAME = "orchestrator-backup"
_STAMP = "%Y%m%dT%H%M%S%fZ"
_LOCK = f".{_NAME}.lock"
_UNFINISHED = f".{_NAME}-unfinished"


@dataclass(frozen=True, slots=True)
class Made:
    """A finished, verified backup.

    Args:
        path: the archive, readable by its owner only: it holds what was said, and credentials.
        notes: things left out that somebody might miss, one line each.
        removed: older archives that `keep` gave up.
    """

    path: Path
    manifest: BackupManifest
    notes: list[str] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)


def default_target(data: Path) -> Path:
    """Beside the data folder, since a backup in it would be replaced with it."""
    return data.with_name(f"{data.name}-backups")


def back_up(
    place: DataPlace, to: Path, *, keep: int | None = None, step: Callable[[str], None] = lambda _: None
) -> Made:
    """Write an archive of everything that cannot be had again, whether or not a server runs.

    Args:
        to: folder for archives, made when missing. One backup at a time goes on in it.
        keep: how many archives of this replica stay there, at least 1; None: all of them.
        step: called with each name of `STEPS` when it is done; for tests that crash there.

    Raises:
        BackupError: nothing to back up, or a target that cannot be used.
        StoreError: a database is damaged or stays locked, or the disk is full. Older archives stay.
    """
    if keep is not None and keep < 1:
        raise BackupError(f"keep is {keep}: at least the new backup must stay.", hint="Give 1 or more.")
    _check(place, to)
    with translated_system(to):
        to.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(to / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BackupError(
                f"Another backup is being written to {str(to)!r}.", hint="Wait until it has ended."
            ) from None
    with lock, translated_system(to):
        # Whoever left this was killed: it would hold the lock otherwise.
        shutil.rmtree(to / _UNFINISHED, ignore_errors=True)
        (to / _UNFINISHED).mkdir(mode=0o700)
        try:
            return _make(place, to, keep, step)
        finally:
            shutil.rmtree(to / _UNFINISHED, ignore_errors=True)


def archives_of(folder: Path, replica: str | None) -> list[Path]:
    """The archives of one replica in a folder, oldest first."""
    pattern = re.compile(rf"{_NAME}-{_mark(replica)}-\d{{8}}T\d{{12}}Z\.tar\.gz")
    return sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))


def replica_of(data: Path) -> str | None:
    """The id of the replica in a data folder; None before it has one."""
    path = data / "memory.db"
    if not path.exists():
        return None
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'replica_id'").fetchone()
    except sqlite3.Error:
        # The copy says what is wrong with the file.
        return None
    return None if row is None else str(row[0])


def _make(place: DataPlace, to: Path, keep: int | None, step: Callable[[str], None]) -> Made:
    work = to / _UNFINISHED
    moment = datetime.now(UTC)
    folder = place.data.stat().st_ino
    snapshot = take_snapshot(place, work / "copy")
    if place.data.stat().st_ino != folder:
        raise BackupError(
            f"The data folder {str(place.data)!r} was replaced while it was copied.",
            hint="Try again when the restore has ended.",
        )
    step("copied")
    replica = replica_of(place.data)
    manifest = describe(
        snapshot.folder,
        created_at=moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
        program=version("orchestrator"),
        replica=replica,
    )
    written = work / "archive.tar.gz"
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        write_archive(snapshot.folder, manifest, file)
        file.flush()
        os.fsync(file.fileno())
    step("written")
    check_archive(written)
    step("verified")
    path = to / f"{_NAME}-{_mark(replica)}-{moment.strftime(_STAMP)}.tar.gz"
    written.replace(path)
    sync_folder(to)
    step("in-place")
    removed = archives_of(to, replica)[:-keep] if keep is not None else []
    for old in removed:
        old.unlink()
    step("old-removed")
    return Made(path, manifest, snapshot.notes, removed)


def _check(place: DataPlace, to: Path) -> None:
    if not place.data.is_dir():
        raise BackupError(
            f"There is no data folder {str(place.data)!r}.", hint="Name it with --data or ORCHESTRATOR_DATA."
        )
    inside = to.resolve().is_relative_to(place.data.resolve())
    if inside or to.resolve().is_relative_to(place.context.resolve()):
        raise BackupError(
            f"Backups cannot be kept in {str(to)!r}: that is part of what is backed up.",
            hint="Choose a folder elsewhere, best on another disk.",
        )


def _mark(replica: str | None) -> str:
    """The end of a replica's id, which is its random part."""
    return "new" if replica is None else re.sub(r"[^0-9a-zA-Z]", "", replica)[-8:]

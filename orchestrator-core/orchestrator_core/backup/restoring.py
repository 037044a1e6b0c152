"""Putting a backup back: extract and verify beside the data folder, then change places in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from shared_context.conversations.migrations import MIGRATIONS
from shared_context.documents.copying import check_database
from shared_context.documents.document_database import m001_documents
from shared_context.errors import StoreCorrupt, StoreFromFuture, StoreLocked
from shared_context.storage.atomic import sync_folder
from shared_context.storage.folder_lock import FolderLock
from shared_context.storage.migrate import check_openable
from shared_context.storage.sqlite_errors import translated_system

from orchestrator_core.backup.archive import BackupManifest, FileEntry, read_archive
from orchestrator_core.backup.contents import IDENTITY, MODELS, is_database
from orchestrator_core.backup.install_restored import (
    aside_ending,
    documents_aside,
    documents_back,
    put_in_place,
    put_the_rest_in_place,
)
from orchestrator_core.backup.snapshot import DATA, DOCUMENTS, SETTINGS, DataPlace
from orchestrator_core.errors import BackupDamaged, BackupError, BackupFromFuture
from orchestrator_core.runs.store import MIGRATIONS as RUN_MIGRATIONS

STEPS = (
    "extracted",
    "checked",
    "documents-aside",
    "ready",
    "exchanged",
    "documents-in-place",
    "settings-in-place",
)

SPARE_BYTES = 8 * 1024 * 1024
"""Free space that must be left when everything is extracted."""

_KNOWN = {
    "memory.db": MIGRATIONS,
    "runs.db": RUN_MIGRATIONS,
    "context-state/documents.db": (m001_documents,),
}

_LOCKS = ("lock", "lock.pid")

_LINK_FROM_BYTES = 1024 * 1024
"""Larger files that a restore takes over are linked: models are replaced, never changed."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    Args:
        replaced: where the former data is now; None when there was none, or it was discarded.
        settings: where the configuration file of the backup was written; None when it had none,
            or the present one is the same.
        documents: where former documents are now that were kept outside the data folder.
    """

    manifest: BackupManifest
    replaced: Path | None
    settings: Path | None
    documents: list[Path] = field(default_factory=list)


def restore(
    archive: Path, place: DataPlace, *, discard: bool = False, step: Callable[[str], None] = lambda _: None
) -> Restored:
    """Make the data folder what it was when the backup was made.

    What was there before stays beside it, as `<data>.before-restore-<time>`; models are taken over
    from it. A configuration file that is there already is not replaced: the backup's is put beside
    it. A kill at any moment leaves the data as it was or wholly restored.

    Args:
        place: `settings` is where the configuration file belongs, whether or not there is one.
        discard: delete the replaced data afterwards.
        step: called with each name of `STEPS` that is done; for tests that crash there.

    Raises:
        StoreLocked: a server or command uses the data. BackupDamaged, BackupFromFuture,
        BackupError: the archive or the place cannot be used. StoreFull, StoreError. Nothing was
        replaced.
    """
    data = place.data.resolve()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = data.with_name(data.name + aside_ending(stamp))
    staged = data.with_name(f"{data.name}.restoring")
    with ExitStack() as held:
        _hold(data, held)
        with translated_system(data):
            # Whoever left this was killed while extracting: it would hold the lock otherwise.
            shutil.rmtree(staged, ignore_errors=True)
            try:
                manifest = _extract(archive, staged)
                step("extracted")
                _documents_where_they_belong(place, staged)
                _check_databases(archive, staged / DATA)
                _take_over(data, staged / DATA)
                _own_like(data, staged)
                _sync(staged)
                step("checked")
                moved = documents_aside(place, staged / DOCUMENTS, stamp)
                step("documents-aside")
                try:
                    put_in_place(staged / DATA, data, aside, step)
                except BaseException:
                    documents_back(moved, stamp)
                    raise
                settings = put_the_rest_in_place(place, staged, stamp, step)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
        replaced: Path | None = aside
        if discard or not any(path.name not in _LOCKS for path in aside.iterdir()):
            shutil.rmtree(aside)
            replaced = None
        if discard:
            for path in moved:
                path.unlink(missing_ok=True)
            moved = []
    return Restored(manifest, replaced, settings, moved)


def _hold(data: Path, held: ExitStack) -> None:
    """Keep servers and commands away from the data until `held` is closed."""
    try:
        with translated_system(data):
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FolderLock(data)
        held.callback(lock.release)
        if data.stat().st_dev != data.parent.stat().st_dev:
            raise BackupError(
                f"The data folder {str(data)!r} is a disk of its own, which cannot change places with a folder.",
                hint="Keep the data in a folder on that disk, and name that one.",
            )
        state = data / "context-state"
        if state.is_dir():
            held.callback(FolderLock(state).release)
    except StoreLocked:
        raise StoreLocked(
            f"The data folder {str(data)!r} is in use.", "Stop the server, then restore. Nothing was changed."
        ) from None


def _extract(archive: Path, staged: Path) -> BackupManifest:
    """The archive's files below `staged`, verified."""
    staged.mkdir(mode=0o700)

    def begin(manifest: BackupManifest) -> None:
        _refuse_strangers(archive, manifest)
        free = shutil.disk_usage(staged).free
        if manifest.size + SPARE_BYTES > free:
            raise BackupError(
                f"The backup needs {manifest.size:,} bytes; {free:,} are free beside the data folder.",
                hint="Free some space and try again. Nothing was changed.",
            )
        for folder in (DATA, *manifest.folders):
            (staged / folder).mkdir(parents=True, exist_ok=True, mode=0o700)

    def take(entry: FileEntry, content: Iterator[bytes]) -> None:
        path = staged / entry.path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("xb") as file:
            for piece in content:
                file.write(piece)
        path.chmod(entry.mode | 0o600)
        os.utime(path, (entry.modified, entry.modified))

    return read_archive(archive, take, seen=begin)


def _documents_where_they_belong(place: DataPlace, staged: Path) -> None:
    """They may be kept outside the data folder now and have been in it then, or the reverse."""
    inside, outside = staged / DATA / "context", staged / DOCUMENTS
    source, target = (inside, outside) if place.documents_outside else (outside, inside)
    if source.is_dir() and not target.exists():
        source.rename(target)


def _refuse_strangers(archive: Path, manifest: BackupManifest) -> None:
    for path in (*manifest.folders, *(entry.path for entry in manifest.files)):
        if PurePosixPath(path).parts[0] not in (DATA, DOCUMENTS, SETTINGS):
            raise BackupDamaged(
                f"{archive.name} is no backup of this program: it holds {path[:200]!r}.",
                hint="Nothing was changed.",
            )


def _check_databases(archive: Path, data: Path) -> None:
    """Refuse what this program could not open."""
    for path in sorted(path for path in data.rglob("*") if path.is_file() and is_database(path)):
        try:
            check_database(path)
            known = _KNOWN.get(path.relative_to(data).as_posix())
            if known is not None:
                check_openable(path, known)
        except StoreFromFuture as error:
            raise BackupFromFuture(
                f"{archive.name} was made by a newer version: {error.message}",
                hint="Update the program, then restore. Nothing was changed.",
            ) from error
        except StoreCorrupt as error:
            raise BackupDamaged(
                f"{archive.name} is damaged: {error.message}",
                hint="Take another backup. Nothing was changed.",
            ) from error


def _take_over(data: Path, staged: Path) -> None:
    """Models are not in backups, and are too large to be without; nor are the keys that devices know this
    machine by."""
    if (data / IDENTITY).is_file():
        shutil.copy2(data / IDENTITY, staged / IDENTITY)
    if (data / MODELS).is_dir():
        shutil.copytree(data / MODELS, staged / MODELS, copy_function=_link_or_copy, symlinks=True)


def _link_or_copy(source: str, target: str) -> None:
    if os.stat(source).st_size >= _LINK_FROM_BYTES:  # noqa: PTH116 - copytree gives text
        try:
            os.link(source, target)
        except OSError:
            pass
        else:
            return
    shutil.copy2(source, target)


def _own_like(data: Path, staged: Path) -> None:
    """What root restores belongs to whom the data belonged to, and is as open to others."""
    status = data.stat()
    (staged / DATA).chmod(status.st_mode & 0o777)
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    for path in (staged, *staged.rglob("*")):
        os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)


def _sync(folder: Path) -> None:
    """All of a folder survives a power cut."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        if path.is_dir():
            sync_folder(path)
        elif path.stat().st_nlink == 1:
            with path.open("rb") as file:
                os.fsync(file.fileno())

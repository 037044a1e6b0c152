"""Versions on their way into a registry: written beside their place, and given it in one rename.

One process or thread writes at a time: a sender that lost an answer sends the same part again while the first one may
still be at work.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from shared_context.errors import StoreFull
from shared_context.storage.atomic import sync_folder, write_whole
from shared_context.storage.sqlite_errors import translated_system

from orchestrator_core.errors import Conflict, NotFound
from orchestrator_core.models.files import Progress, locked, nothing, sha256_of
from orchestrator_core.models.manifest import MANIFEST_FILE, ModelManifest
from orchestrator_core.models.version import Version, read_version

INCOMING = ".incoming"
ROOM_LEFT_BYTES = 64 << 20
"""That a new version leaves free on the disk, for the memory."""


class Incoming:
    """A version that is being written. Only `finish` makes it one.

    Args:
        registry: its folder.
    """

    def __init__(self, registry: Path, manifest: ModelManifest) -> None:
        self._registry = registry
        self.manifest = manifest
        self.folder = incoming_folder(registry, manifest.name, manifest.version)
        lock = registry / INCOMING / f".{manifest.name}-{manifest.version}.lock"
        self._writer = FileLock(lock)

    def held(self) -> dict[str, int]:
        """Bytes that are there of each file."""
        return {name: self._size(name) for name in self.manifest.files}

    @contextmanager
    def writing(self, *, wait: bool = True) -> Iterator[None]:
        """Be the only one who writes it. May be nested.

        Raises:
            Conflict: another one does, and `wait` is false.
        """
        with translated_system(self.folder):
            try:
                self._writer.acquire(blocking=wait)
            except Timeout:
                raise Conflict(
                    f"{self.manifest.reference} is just being received by another command.",
                    hint="Let that one end, then try again.",
                ) from None
        try:
            yield
        finally:
            self._writer.release()

    def append(self, name: str, offset: int, data: bytes) -> int:
        """Write a part of a file; returns how much of it is there now.

        Raises:
            NotFound: the manifest has no such file.
            Conflict: the part does not begin where the file ends, or goes beyond its size.
            StoreFull, StoreError: it could not be written.
        """
        file = self.manifest.files.get(name)
        if file is None:
            raise NotFound(f"{self.manifest.reference} has no file {name[:80]!r}.")
        with self.writing():
            held = self._size(name)
            if offset != held:
                raise Conflict(
                    f"{name} holds {held} bytes; a part at {offset} does not follow.", code="wrong_offset"
                )
            if held + len(data) > file.size:
                raise Conflict(f"{name} has {file.size} bytes; this part goes beyond.", code="wrong_offset")
            with translated_system(self.folder), (self.folder / name).open("ab") as stream:
                stream.write(data)
        return held + len(data)

    def finish(self, progress: Progress = nothing) -> Version:
        """Check every hash, and give the version its name. Done already, it is not done again.

        Raises:
            Conflict: a file is incomplete, or its hash is wrong (it is dropped, to be sent again); or
                the version is there already with other files.
            StoreError: it could not be written.
        """
        with self.writing():
            placed = read_version(self._place)
            if placed is not None and placed.manifest.files == self.manifest.files:
                return placed
            for name in self.manifest.files:
                self._check(name, progress)
            return self.place()

    def place(self) -> Version:
        """Give the version its name; its files are written and synced.

        Raises:
            Conflict: this version is there already. StoreError.
        """
        target = self._place
        with locked(self._registry):
            refuse_taken(self._registry, self.manifest)
            with translated_system(target):
                write_whole(self.folder / MANIFEST_FILE, self.manifest.model_dump_json(indent=1))
                target.parent.mkdir(exist_ok=True, mode=0o700)
                self.folder.rename(target)
                sync_folder(target.parent)
                sync_folder(self._registry)
        return Version(self.manifest, target)

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _place(self) -> Path:
        return self._registry / self.manifest.name / self.manifest.version

    def _check(self, name: str, progress: Progress) -> None:
        path, file = self.folder / name, self.manifest.files[name]
        if self._size(name) != file.size:
            raise Conflict(
                f"{name} has {self._size(name)} of {file.size} bytes.", code="incomplete",
                hint="Send the rest, then finish again.",
            )  # fmt: skip
        with translated_system(path):
            with path.open("ab") as stream:  # made here where it has no byte: then nothing was sent
                os.fsync(stream.fileno())
            if sha256_of(path, progress) == file.sha256:
                return
            path.unlink()
        raise Conflict(
            f"{name} is not what its hash says; it was dropped.", code="wrong_hash", hint="Send it again."
        )

    def _size(self, name: str) -> int:
        try:
            return (self.folder / name).stat().st_size
        except OSError:
            return 0


def stage(registry: Path, manifest: ModelManifest, *, fresh: bool) -> Incoming:
    """Make room for a version.

    Args:
        registry: its folder.
        fresh: start anew; else go on with what came of the very same version.

    Raises:
        Conflict: this version is there already. StoreFull: the disk has no room for it. StoreError.
    """
    refuse_taken(registry, manifest)
    incoming = Incoming(registry, manifest)
    folder = incoming.folder
    with locked(registry), translated_system(folder):
        known = read_version(folder)
        if fresh or known is None or known.manifest.files != manifest.files:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        needed = manifest.size - sum(incoming.held().values())
        if shutil.disk_usage(folder).free < needed + ROOM_LEFT_BYTES:
            incoming.discard()
            raise StoreFull(
                f"{manifest.reference} needs {needed:,} bytes, which this disk does not have.",
                "Free some space, or remove a model: `orchestrator models remove NAME:VERSION`",
            )
        write_whole(folder / MANIFEST_FILE, manifest.model_dump_json(indent=1))
    return incoming


def refuse_taken(registry: Path, manifest: ModelManifest) -> None:
    """
    Raises:
        Conflict: this version is there already.
    """
    if (registry / manifest.name / manifest.version).exists():
        raise Conflict(
            f"{manifest.reference} is in the registry already.", code="model_exists",
            hint="Leave the version out, to take the next number, or remove it first.",
        )  # fmt: skip


def incoming_folder(registry: Path, name: str, version: str) -> Path:
    """Where a version is written before it has its name."""
    return registry / INCOMING / name / version

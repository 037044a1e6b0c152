"""The models of one machine: `<folder>/<name>/<version>/` with the files and a manifest.

A version is written beside its place, synced, and takes its name in one rename, so that under a name there is a
whole version or none. Which one is active says one file, replaced in one step. Both the server and commands change the
registry; a lock file keeps them apart.

Covered: a crash or a full disk at any step, files changed or lost later (`verify`).
Not covered: whoever may write the owner's files and rewrites manifest and file together.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError
from shared_context.errors import StoreFull
from shared_context.storage.atomic import sync_folder
from shared_context.storage.sqlite_errors import translated_system

from orchestrator_core.errors import Conflict, InvalidRequest, ModelUnusable, NotFound
from orchestrator_core.models.files import Progress, copy_hashed, nothing, sha256_of
from orchestrator_core.models.manifest import (
    MANIFEST_FILE,
    Manifest,
    ModelFile,
    parse_manifest,
    split_reference,
)

POINTER = ".active.json"
INCOMING = ".incoming"
ROOM_LEFT_BYTES = 64 << 20
"""That a new version leaves free on the disk, for the memory."""


class Active(BaseModel):
    """Which version answers in place of the model that the settings name.

    Args:
        reference: None: the one the settings name.
        previous: what was before.
        instead_of: `model.path` of the settings then. When they name another one later, that is the
            newer word, and holds.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    reference: str | None
    previous: str | None = None
    instead_of: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """One version and where it lies."""

    manifest: Manifest
    folder: Path

    @property
    def reference(self) -> str:
        return self.manifest.reference

    @property
    def evaluations(self) -> Path:
        """Folder of results that were kept of this version; not part of it."""
        return self.folder / "evaluations"

    @property
    def path(self) -> Path:
        """What a backend loads: a GGUF file or the folder."""
        main = self.manifest.main_file
        return self.folder if main is None else self.folder / main


class Incoming:
    """A version that is being written. Only `finish` makes it one."""

    def __init__(self, registry: Registry, manifest: Manifest, folder: Path) -> None:
        self._registry = registry
        self.manifest = manifest
        self.folder = folder

    def held(self) -> dict[str, int]:
        """Bytes that are there of each file."""
        return {name: self._size(name) for name in self.manifest.files}

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
        """Check every hash, and give the version its name.

        Raises:
            Conflict: a file is incomplete, or its hash is wrong (it is dropped, to be sent again); or
                the version is there already with other files.
            StoreError: it could not be written.
        """
        for name, file in self.manifest.files.items():
            path = self.folder / name
            if self._size(name) != file.size:
                raise Conflict(
                    f"{name} has {self._size(name)} of {file.size} bytes.", code="incomplete",
                    hint="Send the rest, then finish again.",
                )  # fmt: skip
            with translated_system(path):
                path.touch()  # of a file without a byte nothing is sent
                _sync(path)
                if sha256_of(path, progress) != file.sha256:
                    path.unlink()
                    raise Conflict(
                        f"{name} is not what its hash says; it was dropped.", code="wrong_hash",
                        hint="Send it again.",
                    )  # fmt: skip
        return self._registry._place(self)

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _size(self, name: str) -> int:
        try:
            return (self.folder / name).stat().st_size
        except OSError:
            return 0


class Registry:
    """
    Args:
        folder: `models` of the data folder; made when something is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self) -> list[Version]:
        """All of them, by name, the newest of each first. What is no version is passed over."""
        return sorted(
            (
                version
                for manifest in self.folder.glob(f"*/*/{MANIFEST_FILE}")
                if not manifest.parts[-3].startswith(".")
                and (version := self._read(manifest.parent)) is not None
            ),
            key=lambda version: (version.manifest.name, _age(version)),
        )

    def find(self, reference: str) -> Version:
        """
        Args:
            reference: `name:version`; of a name alone, the newest.

        Raises:
            InvalidRequest: no model can have this name.
            NotFound: there is none.
            ModelUnusable: its manifest is damaged.
        """
        name, version = split_reference(reference)
        if version is None:
            named = [each for each in self.versions() if each.manifest.name == name]
            if named:
                return named[0]
        elif (self.folder / name / version).is_dir():
            found = self._read(self.folder / name / version)
            if found is None:
                raise ModelUnusable(
                    f"The manifest of {reference} is missing or damaged.", code="model_damaged",
                    hint=f"Remove it and add it again: `orchestrator models remove {reference}`",
                )  # fmt: skip
            return found
        raise NotFound(
            f"There is no model {reference!r} in the registry.", code="model_not_found",
            hint="`orchestrator models list` shows what there is.",
        )  # fmt: skip

    def has(self, manifest: Manifest) -> bool:
        """Whether this version is there with these very files."""
        known = self._read(self.folder / manifest.name / manifest.version)
        return known is not None and known.manifest.files == manifest.files

    def next_version(self, name: str) -> str:
        """The smallest number above those in use."""
        taken = [int(path.name) for path in (self.folder / name).glob("*") if path.name.isdecimal()]
        return str(max(taken, default=0) + 1)

    def add(
        self, files: Mapping[str, Path], about: Mapping[str, object], progress: Progress = nothing
    ) -> Version:
        """Copy files in as a new version.

        Args:
            files: by the name they get.
            about: the other fields of the manifest; without `version` the next number is taken.

        Raises:
            InvalidRequest: a name cannot be one, or the files are no whole model.
            Conflict: this version is there already.
            StoreFull, StoreError: nothing was added.
        """
        sizes = {name: ModelFile(size=path.stat().st_size, sha256="0" * 64) for name, path in files.items()}
        fields = {"version": self.next_version(str(about.get("name"))), **about}
        draft = parse_manifest(json.dumps({**fields, "files": {n: f.model_dump() for n, f in sizes.items()}}))
        draft.check()
        self._refuse_taken(draft)
        incoming = self._stage(draft, fresh=True)
        try:
            known = {}
            for name, path in files.items():
                with translated_system(incoming.folder / name):
                    known[name] = copy_hashed(path, incoming.folder / name, progress)
            incoming.manifest = draft.model_copy(update={"files": known})
            return self._place(incoming)
        except BaseException:
            incoming.discard()
            raise

    def receive(self, manifest: Manifest) -> Incoming:
        """Begin, or go on, to receive a version; what came of it before is kept.

        Raises:
            InvalidRequest: the files are no whole model.
            Conflict: this version is there already.
            StoreFull: there is no room for it.
        """
        manifest.check()
        self._refuse_taken(manifest)
        return self._stage(manifest, fresh=False)

    def incoming(self, reference: str) -> Incoming:
        """
        Raises:
            NotFound: nothing is being received under this name.
        """
        name, version = split_reference(reference)
        folder = self.folder / INCOMING / name / (version or "")
        found = self._read(folder) if version else None
        if found is None:
            raise NotFound(f"{reference} is not being received.", hint="Begin with POST /models/incoming.")
        return Incoming(self, found.manifest, folder)

    def verify(self, version: Version, progress: Progress = nothing) -> None:
        """Whether all files are what the manifest says.

        Raises:
            ModelUnusable: one is missing or has changed.
        """
        for name, file in version.manifest.files.items():
            path = version.folder / name
            if not path.is_file():
                problem = "is missing"
            elif path.stat().st_size != file.size:
                problem = f"has {path.stat().st_size} bytes instead of {file.size}"
            elif sha256_of(path, progress) != file.sha256:
                problem = "is not what its hash says"
            else:
                continue
            raise ModelUnusable(
                f"{name} of {version.reference} {problem}.", code="model_damaged",
                hint=f"Remove it and add it again: `orchestrator models remove {version.reference}`",
            )  # fmt: skip

    def remove(self, reference: str) -> None:
        """Delete a version, or what came of one that was never finished.

        Raises:
            NotFound: there is none.
            Conflict: it is active, or the base of another.
        """
        name, version = split_reference(reference)
        if version is None:
            version = self.find(reference).manifest.version
        reference = f"{name}:{version}"
        folder = self.folder / name / version
        half = self.folder / INCOMING / name / version
        if not folder.is_dir():
            if not half.is_dir():
                self.find(reference)
            shutil.rmtree(half, ignore_errors=True)
            return
        with self._locked():
            active = self.active()
            if active is not None and active.reference == reference:
                raise Conflict(
                    f"{reference} is active.", code="model_in_use",
                    hint="Activate another one first, or go back: `orchestrator models rollback`",
                )  # fmt: skip
            users = [each.reference for each in self.versions() if each.manifest.base == reference]
            if users:
                raise Conflict(
                    f"{reference} is the base of {', '.join(users)}.", code="model_in_use",
                    hint="Remove those first.",
                )  # fmt: skip
            gone = self.folder / INCOMING / f".removed-{name}-{version}"
            with translated_system(folder):
                gone.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(gone, ignore_errors=True)
                folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def active(self) -> Active | None:
        """None: nothing was ever activated."""
        try:
            return Active.model_validate_json((self.folder / POINTER).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise ModelUnusable(
                f"{self.folder / POINTER}, which names the active model, cannot be read ({type(error).__name__}).",
                hint="Activate a model again: `orchestrator models activate NAME:VERSION`",
            ) from None

    def activate(self, reference: str | None, instead_of: str) -> Active:
        """Name the active version, in one durable step; what was active becomes the previous one.

        Raises:
            StoreFull, StoreError: the former one is still active.
        """
        with self._locked():
            try:
                before = self.active()
            except ModelUnusable:
                before = None
            held = before is not None and before.instead_of == instead_of
            now = Active(
                reference=reference,
                previous=before.reference if before is not None and held else None,
                instead_of=instead_of,
            )
            if before is not None and held and before.reference == reference:
                return before
            self._write_durably(self.folder / POINTER, now.model_dump_json(indent=1))
            return now

    def restore(self, before: Active | None) -> None:
        """Note again what `active` said earlier.

        Raises:
            StoreError.
        """
        with self._locked(), translated_system(self.folder / POINTER):
            if before is None:
                (self.folder / POINTER).unlink(missing_ok=True)
            else:
                self._write_durably(self.folder / POINTER, before.model_dump_json(indent=1))

    def _read(self, folder: Path) -> Version | None:
        try:
            return Version(parse_manifest((folder / MANIFEST_FILE).read_bytes()), folder)
        except (OSError, InvalidRequest):
            return None

    def _refuse_taken(self, manifest: Manifest) -> None:
        if (self.folder / manifest.name / manifest.version).exists():
            raise Conflict(
                f"{manifest.reference} is in the registry already.", code="model_exists",
                hint="Leave the version out, to take the next number, or remove it first.",
            )  # fmt: skip

    def _stage(self, manifest: Manifest, *, fresh: bool) -> Incoming:
        """
        Args:
            fresh: start anew; else go on with what came of the very same version.
        """
        folder = self.folder / INCOMING / manifest.name / manifest.version
        with self._locked(), translated_system(folder):
            known = self._read(folder)
            same = known is not None and known.manifest.files == manifest.files
            if fresh or not same:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            incoming = Incoming(self, manifest, folder)
            needed = manifest.size - sum(incoming.held().values())
            if shutil.disk_usage(folder).free < needed + ROOM_LEFT_BYTES:
                incoming.discard()
                raise StoreFull(
                    f"{manifest.reference} needs {needed:,} bytes, which this disk does not have.",
                    "Free some space, or remove a model: `orchestrator models remove NAME:VERSION`",
                )
            self._write_durably(folder / MANIFEST_FILE, manifest.model_dump_json(indent=1))
        return incoming

    def _place(self, incoming: Incoming) -> Version:
        manifest = incoming.manifest
        target = self.folder / manifest.name / manifest.version
        with self._locked():
            self._refuse_taken(manifest)
            with translated_system(target):
                self._write_durably(incoming.folder / MANIFEST_FILE, manifest.model_dump_json(indent=1))
                target.parent.mkdir(exist_ok=True, mode=0o700)
                incoming.folder.rename(target)
                sync_folder(target.parent)
                sync_folder(self.folder)
        return Version(manifest, target)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with translated_system(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(self.folder / ".lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _write_durably(self, path: Path, text: str) -> None:
        partial = path.with_name(f".{path.name}.partial")
        with translated_system(path):
            try:
                with partial.open("w", encoding="utf-8") as stream:
                    stream.write(text)
                    stream.flush()
                    os.fsync(stream.fileno())
                partial.replace(path)
                sync_folder(path.parent)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise


def _age(version: Version) -> tuple[int, str]:
    """Sorts the newest first."""
    number = version.manifest.version
    return (-int(number) if number.isdecimal() and len(number) < 18 else 0, number)


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())

"""The models of one machine: `<folder>/<name>/<version>/` with the files and a manifest.

A version is written beside its place, synced, and takes its name in one rename, so that under a name there is a
whole version or none. Which one is active says one file, replaced in one step. Both the server and commands change the
registry; a lock file keeps them apart.

Covered: a crash or a full disk at any step, files changed or lost later (`Version.verify`).
Not covered: whoever may write the owner's files and rewrites manifest and file together.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from shared_context.storage.sqlite_errors import translated_system

from orchestrator_core.errors import Conflict, ModelUnusable, NotFound
from orchestrator_core.models import active
from orchestrator_core.models.active import Active
from orchestrator_core.models.files import Progress, copy_hashed, locked, nothing
from orchestrator_core.models.incoming import INCOMING, Incoming, incoming_folder, stage
from orchestrator_core.models.manifest import (
    MANIFEST_FILE,
    ModelFile,
    ModelManifest,
    parse_manifest,
    split_reference,
)
from orchestrator_core.models.version import Version, read_version


class Registry:
    """
    Args:
        folder: `models` of the data folder; made when something is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self) -> list[Version]:
        """All of them, by name, the newest of each first. What is no version is passed over."""
        folders = [manifest.parent for manifest in self.folder.glob(f"*/*/{MANIFEST_FILE}")]
        read = [read_version(folder) for folder in folders if not folder.parent.name.startswith(".")]
        versions = [version for version in read if version is not None]
        return sorted(versions, key=lambda version: (version.manifest.name, version.age))

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
            known = read_version(self.folder / name / version)
            if known is None:
                raise ModelUnusable(
                    f"The manifest of {reference} is missing or damaged.", code="model_damaged",
                    hint=f"Remove it and add it again: `orchestrator models remove {reference}`",
                )  # fmt: skip
            return known
        raise NotFound(
            f"There is no model {reference!r} in the registry.", code="model_not_found",
            hint="`orchestrator models list` shows what there is.",
        )  # fmt: skip

    def has(self, manifest: ModelManifest) -> bool:
        """Whether this version is there with these very files."""
        known = read_version(self.folder / manifest.name / manifest.version)
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
        incoming = stage(self.folder, draft, fresh=True)
        try:
            known = {}
            for name, path in files.items():
                with translated_system(incoming.folder / name):
                    known[name] = copy_hashed(path, incoming.folder / name, progress)
            incoming.manifest = draft.model_copy(update={"files": known})
            return incoming.place()
        except BaseException:
            incoming.discard()
            raise

    def receive(self, manifest: ModelManifest) -> Incoming:
        """Begin, or go on, to receive a version; what came of it before is kept.

        Raises:
            InvalidRequest: the files are no whole model.
            Conflict: this version is there already.
            StoreFull: there is no room for it.
        """
        manifest.check()
        return stage(self.folder, manifest, fresh=False)

    def incoming(self, reference: str) -> Incoming:
        """
        Raises:
            NotFound: nothing is being received under this name.
        """
        name, version = split_reference(reference)
        known = read_version(incoming_folder(self.folder, name, version)) if version else None
        if known is None:
            raise NotFound(f"{reference} is not being received.", hint="Begin with POST /models/incoming.")
        return Incoming(self.folder, known.manifest)

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
        if not folder.is_dir():
            half = incoming_folder(self.folder, name, version)
            if not half.is_dir():
                self.find(reference)
            shutil.rmtree(half, ignore_errors=True)
            return
        with locked(self.folder):
            self._refuse_used(reference)
            gone = self.folder / INCOMING / f".removed-{name}-{version}"
            with translated_system(folder):
                gone.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(gone, ignore_errors=True)
                folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def active(self) -> Active | None:
        """See `active.read_active`."""
        return active.read_active(self.folder)

    def activate(self, reference: str | None, instead_of: str) -> Active:
        """See `active.activate`."""
        return active.activate(self.folder, reference, instead_of)

    def restore(self, before: Active | None) -> None:
        """See `active.restore`."""
        active.restore(self.folder, before)

    def _refuse_used(self, reference: str) -> None:
        """
        Raises:
            Conflict: this version is active, or the base of another.
        """
        now = self.active()
        if now is not None and now.reference == reference:
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

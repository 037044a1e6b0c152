"""A data folder copied as it was, while a server writes to it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from shared_context.documents.copying import copy_database, copy_documents, document_files

from orchestrator_core.backup.contents import files_of, is_database

DATA, DOCUMENTS, SETTINGS = "data", "documents", "settings"
"""Top folders of a backup. `documents` only when they are kept outside the data folder."""

_CONTEXT, _STATE = "context", "context-state"


@dataclass(frozen=True, slots=True)
class DataPlace:
    """Where what a backup covers is kept.

    Args:
        data: the data folder.
        context: the context folder, in the data folder or elsewhere.
        settings: the configuration file; None when there is none.
    """

    data: Path
    context: Path
    settings: Path | None = None

    @property
    def documents_outside(self) -> bool:
        return self.context.resolve() != (self.data / _CONTEXT).resolve()

    @property
    def documents_root(self) -> str:
        """Where the documents are in a backup."""
        return DOCUMENTS if self.documents_outside else f"{DATA}/{_CONTEXT}"


@dataclass(slots=True)
class DataSnapshot:
    """A copy, and what somebody might miss in it."""

    folder: Path
    notes: list[str] = field(default_factory=list)


def take_snapshot(place: DataPlace, target: Path) -> DataSnapshot:
    """Copy what belongs in a backup into `target`, which is empty.

    The order keeps what depends on another thing consistent with it: running answers before the
    conversations, since an answer that is there already is not stored a second time.

    Raises:
        StoreError: a database is damaged or stays locked. OSError: a file cannot be read, or
            the copy not be written.
    """
    snapshot = DataSnapshot(target)
    paths = sorted(files_of(place.data, snapshot.notes), key=_order)
    databases = [path for path in paths if path.parts[0] != _STATE and is_database(place.data / path)]
    for path in databases:
        copy_database(place.data / path, target / DATA / path)
    copy_documents(
        place.context,
        place.data / _STATE,
        to_folder=target / place.documents_root,
        to_state=target / DATA / _STATE,
    )
    documents = set() if place.documents_outside else _documents_in(place)
    for path in paths:
        if path in documents or path in databases or path.parts[0] == _STATE:
            continue
        _copy(place.data / path, target / DATA / path)
    if place.settings is not None:
        _copy(place.settings, target / SETTINGS / "orchestrator.yaml")
    return snapshot


def _order(path: PurePosixPath) -> tuple[bool, str]:
    return path != PurePosixPath("runs.db"), str(path)


def _documents_in(place: DataPlace) -> set[PurePosixPath]:
    return {PurePosixPath(_CONTEXT, path.as_posix()) for path in document_files(place.context)}


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        # Deleted since it was listed: then it does not belong in the backup.
        if source.exists():
            raise

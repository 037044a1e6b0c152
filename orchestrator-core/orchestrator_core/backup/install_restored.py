"""Changing places: what was restored goes where it belongs, what was there goes aside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from shared_context.documents.copying import document_files
from shared_context.storage.atomic import exchange, sync_folder

from orchestrator_core.backup.snapshot import DOCUMENTS, SETTINGS, DataPlace
from orchestrator_core.errors import BackupError


def put_in_place(staged: Path, data: Path, aside: Path, step: Callable[[str], None]) -> None:
    """After this the staged data is at `data`, and what was there at `aside`."""
    staged.rename(aside)
    step("ready")
    try:
        exchanged = exchange(aside, data)
    except OSError:
        aside.rename(staged)
        raise
    if not exchanged:
        # Where two names cannot be exchanged there is a moment without data.
        aside.rename(staged)
        data.rename(aside)
        staged.rename(data)
    sync_folder(data.parent)
    step("exchanged")


def aside_ending(stamp: str) -> str:
    return f".before-restore-{stamp}"


def documents_aside(place: DataPlace, staged: Path, stamp: str) -> list[Path]:
    """Documents kept outside the data folder, where they differ: under another name beside it.

    One that is missing when the memory is opened is written from it, so this comes first: a document
    newer than the memory would be taken for an edit.
    """
    moved = []
    for path in document_files(place.context) if place.documents_outside else []:
        now = place.context / path
        if (staged / path).is_file() and (staged / path).read_bytes() == now.read_bytes():
            continue
        moved.append(now.rename(now.with_name(now.name + aside_ending(stamp))))
    return moved


def documents_back(moved: list[Path], stamp: str) -> None:
    """Undo `documents_aside`."""
    for path in moved:
        path.rename(path.with_name(path.name.removesuffix(aside_ending(stamp))))


def put_the_rest_in_place(
    place: DataPlace, staged: Path, stamp: str, step: Callable[[str], None]
) -> Path | None:
    """What lies outside the data folder; returns where the settings were put."""
    try:
        _documents_in_place(place, staged / DOCUMENTS)
        step("documents-in-place")
        settings = _settings_in_place(staged / SETTINGS, place.settings, stamp)
        step("settings-in-place")
    except OSError as error:
        raise BackupError(
            f"The data folder was restored, but what lies outside it was not: {error}.",
            hint="Mend that; the next start writes documents that are missing from the memory.",
        ) from error
    return settings


def _documents_in_place(place: DataPlace, staged: Path) -> None:
    for path in document_files(staged) if staged.is_dir() else []:
        _put_file(staged / path, place.context / path)


def _settings_in_place(staged: Path, place: Path | None, stamp: str) -> Path | None:
    source = staged / "orchestrator.yaml"
    if place is None or not source.is_file():
        return None
    if place.is_file():
        if place.read_bytes() == source.read_bytes():
            return None
        place = place.with_name(f"{place.name}.from-backup-{stamp}")
    _put_file(source, place)
    return place


def _put_file(source: Path, target: Path) -> None:
    """Copy to a place that may be on another disk, in one step, with the owner of its folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.restoring")
    shutil.copy2(source, partial)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        owner = target.parent.stat()
        os.chown(partial, owner.st_uid, owner.st_gid)
    partial.replace(target)

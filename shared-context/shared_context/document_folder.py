"""What else lies in a context folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from shared_context.errors import DocumentRejected
from shared_context.handoff import DOCUMENT_NAMES, PORTFOLIO, check_project_name

_STEMS = "|".join(re.escape(name.removesuffix(".md")) for name in DOCUMENT_NAMES)
_CONFLICTED = re.compile(rf"({_STEMS})(\.sync-conflict-.*|.*conflicted copy.*)", re.IGNORECASE)
"""Syncthing's copies, and those of Dropbox and Nextcloud."""


def conflicted_copies(folders: Iterable[Path]) -> list[str]:
    """Names of files that another synchronising tool put beside the documents."""
    return sorted(
        entry.name for folder in folders for entry in _entries(folder) if _CONFLICTED.fullmatch(entry.name)
    )


def projects_in(folder: Path) -> list[str]:
    """Names of the subfolders with a document of their own."""
    return sorted(entry.name for entry in _entries(folder) if _is_project(entry))


def _is_project(entry: Path) -> bool:
    try:
        check_project_name(entry.name)
    except DocumentRejected:
        return False
    return any((entry / name).is_file() for name in DOCUMENT_NAMES if name != PORTFOLIO)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []

"""What else lies in a context folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from shared_context.documents.document_names import DOCUMENT_NAMES, PORTFOLIO, check_project_name, is_archive
from shared_context.errors import DocumentRejected

_STEMS = "|".join(re.escape(name.removesuffix(".md")) for name in DOCUMENT_NAMES)
_CONFLICTED = re.compile(rf"({_STEMS})(\.sync-conflict-.*|.*conflicted copy.*)", re.IGNORECASE | re.DOTALL)
"""Syncthing's copies, and those of Dropbox and Nextcloud."""


def conflicted_copies(folders: Iterable[Path]) -> list[str]:
    """Names of files that another synchronising tool put beside the documents."""
    return sorted(
        entry.name for folder in folders for entry in _entries(folder) if _CONFLICTED.fullmatch(entry.name)
    )


MAX_PROJECTS = 200
"""Subfolders of a context folder that are looked at; of more, the first by name."""


def project_folders(folder: Path) -> list[Path]:
    """The subfolders that may be a project's, by name; at most `MAX_PROJECTS`."""
    named = sorted(entry for entry in _entries(folder) if _may_be_project(entry))
    return named[:MAX_PROJECTS]


def projects_in(folder: Path) -> list[str]:
    """Names of the subfolders with a document of their own."""
    return [entry.name for entry in project_folders(folder) if documents_in(entry)]


def documents_in(project: Path) -> list[str]:
    """Names of the documents that are in a project's folder, archives of its log included."""
    named = [name for name in DOCUMENT_NAMES if name != PORTFOLIO and (project / name).is_file()]
    return named + archives_in(project)


def archives_in(folder: Path) -> list[str]:
    """Names of the archives of a log, oldest first."""
    return sorted(entry.name for entry in _entries(folder) if is_archive(entry.name) and entry.is_file())


def _may_be_project(entry: Path) -> bool:
    try:
        # Another replica takes no name that is not in the composed form already.
        return check_project_name(entry.name) == entry.name and entry.is_dir()
    except DocumentRejected:
        return False


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []

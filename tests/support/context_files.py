"""Where a context folder's documents lie."""

from __future__ import annotations

from pathlib import Path

from shared_context.documents.context_folder import ContextFolder


def file_of(folder: ContextFolder, name: str) -> Path:
    return folder.folder / (folder.project or "") / name

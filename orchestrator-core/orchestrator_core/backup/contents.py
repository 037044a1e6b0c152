"""What belongs in a backup. All but what is listed here, so that nothing new is forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MODELS = "models"
"""Large, and to be had again; a restore takes them over from the data it replaces."""

IDENTITY = "identity.json"
"""This machine's secret keys: a stolen backup must not be able to speak in its name. A restore takes them over too."""

CHECKPOINTS = "checkpoints"
"""Of trainings that have not ended; as large as the models."""

REBUILT = ("engine", "search.db", "reserve")
"""Made anew by the next server: saved prompts, the search index."""

_OF_A_PROCESS = re.compile(
    r"""lock | lock\.pid | server\.json        # who holds the folder now
      | .*\.log (\.\d+)?                       # diagnostics
      | .*\.db-(wal | shm | journal)           # part of a database, which is copied as a whole
      | .*\.db\.v\d+\.bak                      # made before a migration
      | .*\.partial | .*\.lock                 # half of something
      | \..*\.orchestrator-new | \.server-.*""",
    re.VERBOSE,
)


def left_out(path: PurePosixPath) -> bool:
    """Whether a path relative to the data folder stays out of backups."""
    if path.parts[0] == "jobs" and CHECKPOINTS in path.parts:
        return True
    return path.parts[0] in (MODELS, IDENTITY, *REBUILT) or _OF_A_PROCESS.fullmatch(path.name) is not None


def is_database(path: Path) -> bool:
    """Whether this file is one of SQLite's, by its first bytes."""
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\x00"


def files_of(folder: Path, notes: list[str]) -> Iterator[PurePosixPath]:
    """The regular files below a data folder that belong in a backup, relative to it.

    Args:
        notes: receives a line for each thing left out that somebody might miss.
    """
    waiting = [PurePosixPath()]
    while waiting:
        here = waiting.pop()
        for entry in sorted((folder / here).iterdir()):
            path = here / entry.name
            if left_out(path):
                continue
            if entry.is_symlink():
                notes.append(f"{path} is a link and was left out.")
            elif entry.is_dir():
                waiting.append(path)
            elif entry.is_file():
                yield path
            else:
                notes.append(f"{path} is no regular file and was left out.")

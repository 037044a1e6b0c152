"""Datasets that were uploaded: `<data>/datasets/<name>`, checked before they are kept."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from orchestrator_core.errors import Conflict, InvalidRequest, NotFound
from shared_context.storage.atomic import clear_left_over, replace_file
from shared_context.storage.sqlite_errors import translated_system

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.jsonl?$"
"""`something.json` or `something.jsonl`."""

MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Dataset:
    """
    Args:
        size: bytes.
        examples: how many.
    """

    name: str
    size: int
    sha256: str
    examples: int


class Datasets:
    """
    Args:
        folder: made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """
        Raises:
            InvalidRequest: no dataset can have this name. NotFound: there is none.
        """
        path = self._place(name)
        if not path.is_file():
            raise NotFound(
                f"There is no dataset {name!r}.",
                hint="Upload it: PUT /datasets/NAME, or name a file with --dataset.",
            )
        return path

    def keep(self, name: str, content: bytes) -> Dataset:
        """
        Raises:
            MalformedDataset: with every fault and its line; nothing was kept.
            InvalidRequest: the name. Conflict: there is another one of this name.
            StoreError: it could not be written.
        """
        from training_data.reader import records_in

        path = self._place(name)
        examples = len(records_in(content, name))
        with translated_system(path):
            if path.exists() and path.read_bytes() != content:
                raise Conflict(
                    f"There is another dataset {name!r}.", hint="Delete it first, or choose another name."
                )
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not path.exists():
                replace_file(path, content, None)
                clear_left_over(path)
        return Dataset(name, len(content), hashlib.sha256(content).hexdigest(), examples)

    def all(self) -> list[Dataset]:
        """By name."""
        files = sorted(self._folder.glob("*")) if self._folder.is_dir() else []
        return [self.describe(path.name) for path in files if re.fullmatch(NAME, path.name)]

    def describe(self, name: str) -> Dataset:
        """
        Raises:
            NotFound, InvalidRequest. MalformedDataset: the file was changed by hand since.
        """
        from training_data.reader import records_in

        content = self.path(name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        return Dataset(name, len(content), digest, len(records_in(content, name)))

    def delete(self, name: str) -> None:
        """
        Raises:
            NotFound, InvalidRequest.
        """
        self.path(name).unlink()

    def _place(self, name: str) -> Path:
        if not re.fullmatch(NAME, name):
            raise InvalidRequest(f"{name[:80]!r} names no dataset.", hint="For example: continuity.jsonl")
        return self._folder / name

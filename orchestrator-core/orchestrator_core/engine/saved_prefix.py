"""The pinned prefix on disk, so that a restarted engine need not compute it again.

A file holds the state of one sequence as llama.cpp wrote it, behind a header with what it depends on: model,
adapter, llama.cpp build, cache layout. llama.cpp reads such states without much suspicion, so nothing
reaches it that is not, by its checksum, what this machine wrote. The files hold the documents' content
and are readable by their owner only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

MAGIC = b"orchestrator prefix 1\n"
KEPT_FILES = 2
"""Of the newest models or builds; each file is one prefix."""

MAX_BYTES = 1 << 30
"""A larger state is not saved: reading it back would hardly be faster than computing it."""

MIN_TOKENS = 64
FINGERPRINT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SavedPrefix:
    """Tokens, and the state that llama.cpp keeps for them."""

    tokens: list[int]
    state: bytes


def fingerprint(*files: str | None) -> str:
    """What stands for the content of large files: size, beginning and end of each."""
    digest = hashlib.sha256()
    for name in files:
        if name is None:
            digest.update(b"-")
            continue
        path = Path(name)
        size = path.stat().st_size
        digest.update(f"{size}:".encode())
        with path.open("rb") as file:
            digest.update(file.read(FINGERPRINT_BYTES))
            file.seek(max(0, size - FINGERPRINT_BYTES))
            digest.update(file.read(FINGERPRINT_BYTES))
    return digest.hexdigest()


class PrefixFile:
    """The saved prefix of one model under one build.

    Args:
        folder: where the files lie; made when the first is saved.
        identity: everything a state depends on, as one text.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder
        self._key = hashlib.sha256(identity.encode()).hexdigest()
        self.path = folder / f"prefix-{self._key[:16]}.kv"

    def read(self) -> SavedPrefix | None:
        """The saved prefix, or None. A file that is damaged or not ours is removed, with a log line."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("The saved prefix %s cannot be read: %s", self.path.name, error)
            return None
        try:
            return self._parse(content)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("The saved prefix %s is not usable (%s); removing it.", self.path.name, error)
            self.remove()
            return None

    def write(self, prefix: SavedPrefix) -> None:
        """Replace the file at once; an interrupted write leaves the old one. Failures are logged only."""
        if len(prefix.state) > MAX_BYTES or len(prefix.tokens) < MIN_TOKENS:
            return
        header = {
            "key": self._key,
            "tokens": prefix.tokens,
            "sha256": hashlib.sha256(prefix.state).hexdigest(),
        }
        temporary = self.path.with_suffix(".tmp")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(MAGIC + json.dumps(header).encode() + b"\n")
                file.write(prefix.state)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
            self._remove_old()
        except OSError as error:
            log.warning("The prefix could not be saved: %s", error)
            with contextlib.suppress(OSError):
                temporary.unlink()

    def remove(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be removed: %s", self.path.name, error)

    def _parse(self, content: bytes) -> SavedPrefix:
        if not content.startswith(MAGIC):
            raise ValueError("unknown format")
        line, separator, state = content[len(MAGIC) :].partition(b"\n")
        if not separator:
            raise ValueError("cut off")
        header = json.loads(line)
        if header["key"] != self._key:
            raise ValueError("of another model or build")
        if header["sha256"] != hashlib.sha256(state).hexdigest():
            raise ValueError("damaged")
        return SavedPrefix([int(token) for token in header["tokens"]], state)

    def _remove_old(self) -> None:
        files = sorted(self._folder.glob("prefix-*.kv"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[KEPT_FILES:]:
            file.unlink(missing_ok=True)


class PrefixWriter:
    """Writes in the background; of several prefixes that wait, only the latest."""

    def __init__(self, file: PrefixFile) -> None:
        self._file = file
        self._next: SavedPrefix | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="prefix-writer", daemon=True).start()

    def put(self, prefix: SavedPrefix) -> None:
        with self._changed:
            self._next = prefix
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._next is None:
                    self._changed.wait()
                prefix, self._next = self._next, None
            self._file.write(prefix)

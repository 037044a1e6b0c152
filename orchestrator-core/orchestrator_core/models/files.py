"""Copying and hashing large files, and the lock of a registry."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from shared_context.storage.sqlite_errors import translated_system

from orchestrator_core.models.manifest import ModelFile

BLOCK_BYTES = 1 << 20

Progress = Callable[[int], None]
"""Called with the bytes that were just dealt with."""


def nothing(count: int) -> None:
    """Nobody watches."""


def sha256_of(path: Path, progress: Progress = nothing) -> str:
    """
    Raises:
        OSError.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
            progress(len(block))
    return digest.hexdigest()


def copy_hashed(source: Path, target: Path, progress: Progress = nothing) -> ModelFile:
    """Copy a file, durably, and say what was written.

    Raises:
        OSError.
    """
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reading, target.open("wb") as writing:
        while block := reading.read(BLOCK_BYTES):
            writing.write(block)
            digest.update(block)
            size += len(block)
            progress(len(block))
        writing.flush()
        os.fsync(writing.fileno())
    return ModelFile(size=size, sha256=digest.hexdigest())


@contextmanager
def locked(registry: Path) -> Iterator[None]:
    """Keep other processes and threads from changing a registry. Not to be nested.

    Args:
        registry: its folder; made if need be.

    Raises:
        StoreError.
    """
    with translated_system(registry):
        registry.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(registry / ".lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()

"""A model that could not be loaded: why, and when it is worth another try."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from orchestrator_core.errors import ApplicationError, ModelUnusable

MAX_FAILED_LOADS = 3
RETRY_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """
    Args:
        error: raised to everybody who asks meanwhile.
        path: of the model.
        at: `time.monotonic()`.
        file: size and time of the model's file as it was, None when there was none.
    """

    error: ApplicationError
    path: str
    at: float
    file: tuple[int, int] | None

    @classmethod
    def of(cls, path: str, error: ApplicationError) -> Self:
        return cls(error, path, time.monotonic(), _signature(path))

    @property
    def worth_retrying(self) -> bool:
        """Whether the file was changed since, or some time has passed."""
        return time.monotonic() - self.at >= RETRY_AFTER_S or _signature(self.path) != self.file


def unusable(path: str, epitaph: str) -> ModelUnusable:
    """Of a model whose process died again and again while it was loading."""
    return ModelUnusable(
        f"The engine process died {MAX_FAILED_LOADS} times while loading {path!r}. {epitaph}",
        hint="The file may be damaged, or this llama.cpp build does not suit the processor. "
        "Run: `orchestrator doctor`",
    )


def _signature(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns

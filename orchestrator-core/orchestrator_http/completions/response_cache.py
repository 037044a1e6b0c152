"""Answers to deterministic raw requests: same prompt, settings and model, same answer."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

from orchestrator_core.backend import BackendDescription
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.remembered import Remembered

MAX_ENTRIES = 256
MAX_BYTES = 4 * 1024 * 1024
"""Bound of all cached answers together; the longest unused is dropped first."""


class ResponseCache:
    """JSON answers, bounded in number and size. Safe from any thread."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._entries: Remembered[str, str] = Remembered(
            max_bytes, lambda text: max(len(text), max_bytes // max_entries)
        )
        self._lock = threading.Lock()
        self._model = ""

    def keep_for(self, model: str) -> None:
        """Forget everything when another model answers now than when this was called last.

        Args:
            model: see `model_identity`.
        """
        with self._lock:
            if model != self._model:
                self._entries.clear()
                self._model = model

    def get(self, key: str) -> dict[str, Any] | None:
        text = self._entries.find(key)
        answer: dict[str, Any] | None = None if text is None else json.loads(text)
        return answer

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """An answer larger than the whole cache is not kept."""
        self._entries.put(key, json.dumps(answer))

    def __len__(self) -> int:
        return len(self._entries)


def cache_key(prompt: str, config: GenerationConfig, model: BackendDescription) -> str | None:
    """None when the same request may give another answer."""
    if not config.deterministic:
        return None
    parts = (prompt, config.model_dump_json(), model.backend, model.model, model.adapter, model.quantization)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def model_identity(model: BackendDescription, path: str) -> str:
    """Changes when another model answers, also when its file was replaced by another of the same name.

    Args:
        path: `model.path` of the settings; a file or anything else.
    """
    try:
        status = Path(path).stat()
        file = f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
    except (OSError, ValueError):
        file = ""
    return f"{model} {file}"

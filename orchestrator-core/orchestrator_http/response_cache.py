"""Answers to deterministic raw requests: same prompt, settings and model, same answer."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from orchestrator_core.backend import BackendDescription
from orchestrator_core.generation import GenerationConfig

MAX_ENTRIES = 256
MAX_BYTES = 4 * 1024 * 1024
"""Bound of all cached answers together; the longest unused is dropped first."""


class ResponseCache:
    """LRU of JSON answers, bounded in number and size. Safe from any thread."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, str] = OrderedDict()
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
                self._bytes = 0
                self._model = model

    def get(self, key: str) -> dict[str, Any] | None:
        with self._lock:
            text = self._entries.get(key)
            if text is None:
                return None
            self._entries.move_to_end(key)
        answer: dict[str, Any] = json.loads(text)
        return answer

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """An answer larger than the whole cache is not kept."""
        text = json.dumps(answer)
        with self._lock:
            self._bytes -= len(self._entries.pop(key, ""))
            if len(text) > self._max_bytes:
                return
            self._entries[key] = text
            self._bytes += len(text)
            while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
                _, dropped = self._entries.popitem(last=False)
                self._bytes -= len(dropped)

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
        found = Path(path).stat()
        file = f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"
    except (OSError, ValueError):
        file = ""
    return f"{model} {file}"

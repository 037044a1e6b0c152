"""The pinned prefix between the cache and its file."""

from __future__ import annotations

import logging
from pathlib import Path

from orchestrator_core.engine.load import LoadSpec
from orchestrator_core.engine.native import Context, build
from orchestrator_core.engine.saved_prefix import PrefixFile, PrefixWriter, SavedPrefix, fingerprint
from orchestrator_core.engine.scheduler import Scheduler

log = logging.getLogger(__name__)


class SavedPin:
    """Keeps the file with the pinned prefix and the cache in step: restores at the start, saves when idle.

    Args:
        flash: whether the cache has the layout of flash attention.
    """

    def __init__(self, spec: LoadSpec, context: Context, scheduler: Scheduler, *, flash: bool) -> None:
        self._context = context
        self._scheduler = scheduler
        self._on_disk: list[int] = []
        self._writer: PrefixWriter | None = None
        if spec.state_folder is None or not scheduler.limits.sharing:
            return
        identity = f"{fingerprint(spec.model, spec.adapter)} {build()} flash={flash}"
        file = PrefixFile(Path(spec.state_folder), identity)
        self._writer = PrefixWriter(file)
        saved = file.read()
        if saved is not None and not self._restore(saved):
            file.remove()

    def save(self) -> None:
        """Hand the pinned prefix to the writer, if it is not saved yet. Copies the state: call when idle."""
        pinned = self._scheduler.pinned
        if self._writer is None or pinned is None or pinned[1] == self._on_disk:
            return
        seq, tokens = pinned
        self._on_disk = tokens
        self._writer.put(SavedPrefix(tokens, self._context.save(seq)))

    def _restore(self, saved: SavedPrefix) -> bool:
        seq = self._scheduler.restore_pin(saved.tokens)
        if seq is None:
            return True  # There is no room for it with these settings; others may have.
        self._context.restore(seq, saved.state)
        if self._context.stored(seq) != len(saved.tokens):
            log.warning("llama.cpp does not accept the saved prefix; computing it anew.")
            self._scheduler.release_pin()
            return False
        self._on_disk = saved.tokens
        return True

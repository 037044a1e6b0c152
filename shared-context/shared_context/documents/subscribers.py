"""Those who want to be told when documents change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from shared_context.documents.document_folder import project_folders
from shared_context.documents.document_names import is_document_path
from shared_context.documents.store import DocumentStore
from shared_context.documents.watcher import Watcher

log = logging.getLogger(__name__)

Subscriber = Callable[[set[str]], None]
"""Called with the paths of the documents that changed."""


class Subscribers:
    """Watches nothing and runs no thread until there is a subscriber."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._watcher: Watcher | None = None
        self._subscribers: list[Subscriber] = []

    @property
    def problem(self) -> str | None:
        return self._watcher.problem if self._watcher is not None else None

    def add(self, subscriber: Subscriber, folders: Iterable[Path]) -> Callable[[], None]:
        """Tell this one from now on, watching these folders; returns what ends it."""
        with self._lock:
            self._subscribers.append(subscriber)
            if self._watcher is None:
                # What changed before has been read by whoever subscribes now.
                self._store.take_changed()
                self._watcher = Watcher(is_document_path, self._look, self._deliver)
                self._store.listen(self._watcher.nudge)
            watcher = self._watcher
        for folder in folders:
            watcher.follow(folder)
        # Whatever was saved just before the watch began.
        watcher.look_soon()
        return lambda: self._remove(subscriber)

    def close(self) -> None:
        with self._lock:
            watcher, self._watcher = self._watcher, None
            self._subscribers.clear()
        self._store.listen(lambda: None)
        if watcher is not None:
            watcher.close()

    def _remove(self, subscriber: Subscriber) -> None:
        with self._lock:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

    def _look(self) -> bool:
        self._store.refresh_all()
        watcher = self._watcher
        if watcher is not None:
            for folder in project_folders(self._store.folder):
                watcher.follow(folder)
        return self._store.unsettled()

    def _deliver(self) -> None:
        changed = self._store.take_changed()
        with self._lock:
            subscribers = list(self._subscribers)
        for subscriber in subscribers if changed else ():
            try:
                subscriber(changed)
            except Exception:
                log.exception("A subscriber failed on the change of %s.", ", ".join(sorted(changed)))

"""Noticing that documents changed, and telling those who want to know.

Two threads that sleep while nothing happens: watchdog's, which is told by the system, and one
that waits for a pause in the writing, has the files looked at, and then calls the subscribers.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    EVENT_TYPE_CLOSED_NO_WRITE,
    EVENT_TYPE_OPENED,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)

QUIET_S = 0.1
"""A pause this long ends a burst of events: editors save in several steps."""

BURST_S = 1.0
"""A burst that does not end is looked at all the same."""

SETTLE_S = 0.6
"""When to look again at a file that was just written or is missing; doubles up to..."""

LONGEST_SETTLE_S = 60.0

_OUR_OWN_READING = {EVENT_TYPE_OPENED, EVENT_TYPE_CLOSED_NO_WRITE}


class Watcher(FileSystemEventHandler):
    """Watches folders (not what is below them) for files of certain names.

    Args:
        matters: whether a file of this name does.
        look: called when such a file may have changed; returns whether to look again soon.
        deliver: called after that, and after `nudge`, on the same thread.
    """

    def __init__(
        self, matters: Callable[[str], bool], look: Callable[[], bool], deliver: Callable[[], None]
    ) -> None:
        self._matters = matters
        self._look = look
        self._deliver = deliver
        self._wake = threading.Condition()
        self._dirty_since: float | None = None
        self._last_event = 0.0
        self._look_at: float | None = None
        self._settle_s = SETTLE_S
        self._nudged = False
        self._stopping = False
        self._observer: BaseObserver | None = None
        self._watches: dict[Path, tuple[ObservedWatch, int] | None] = {}
        self._watches_lock = threading.Lock()
        self.problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="documents-watcher", daemon=True)
        self._thread.start()

    def follow(self, folder: Path) -> None:
        """Watch this folder too. Where the system refuses, `problem` says so."""
        with self._watches_lock:
            self._follow(folder)

    def nudge(self) -> None:
        """Something changed from within: deliver."""
        with self._wake:
            self._nudged = True
            self._wake.notify()

    def look_soon(self) -> None:
        """Look as if a file had changed just now."""
        moment = time.monotonic()
        with self._wake:
            self._last_event = moment
            self._settle_s = SETTLE_S
            if self._dirty_since is None:
                self._dirty_since = moment
                self._wake.notify()

    def close(self) -> None:
        """Stop both threads. Idempotent; may be called from a subscriber."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        observer = self._observer
        if observer is not None and observer.is_alive():
            observer.stop()
            observer.join()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in _OUR_OWN_READING and self._is_about_documents(event):
            self.look_soon()

    def _is_about_documents(self, event: FileSystemEvent) -> bool:
        if event.is_directory:
            return event.event_type != "modified"
        paths = (os.fsdecode(event.src_path), os.fsdecode(event.dest_path))
        return any(self._matters(Path(path).name) for path in paths if path)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._stopping or self._nudged or self._due()):
                    self._wake.wait(self._pause())
                if self._stopping:
                    return
                due, self._nudged = self._due(), False
                if due:
                    self._dirty_since = self._look_at = None
            try:
                if due:
                    self._look_now()
                self._deliver()
            except Exception:
                log.exception("Looking after changed documents failed; the next change is another try.")

    def _look_now(self) -> None:
        unsettled = self._look()
        with self._watches_lock:
            for folder in list(self._watches):
                self._follow(folder)
            unwatched = not all(self._watches.values())
        with self._wake:
            if unsettled or unwatched:
                self._look_at = time.monotonic() + self._settle_s
                self._settle_s = min(2 * self._settle_s, LONGEST_SETTLE_S)
            else:
                self._settle_s = SETTLE_S

    def _due(self) -> bool:
        return (pause := self._pause()) is not None and pause <= 0

    def _pause(self) -> float | None:
        """Seconds until the next look; None: until something happens."""
        moments = [] if self._look_at is None else [self._look_at]
        if self._dirty_since is not None:
            moments.append(min(self._last_event + QUIET_S, self._dirty_since + BURST_S))
        return min(moments) - time.monotonic() if moments else None

    def _follow(self, folder: Path) -> None:
        """Watch the folder of this name, also when it is another than before. What the system refuses
        (it has a limit of watchers) is tried again with each look."""
        known = self._watches.setdefault(folder, None)
        try:
            inode = folder.stat().st_ino
        except OSError:
            return
        if known is not None and known[1] == inode:
            return
        self._watches[folder] = None
        try:
            if self._observer is None:
                observer = Observer()
                observer.start()
                self._observer = observer
            if known is not None:
                self._observer.unschedule(known[0])
            self._watches[folder] = (self._observer.schedule(self, str(folder)), inode)
        except (OSError, KeyError) as error:
            problem = (
                f"Changes in {folder.name} are noticed only when a document is asked for, or within "
                f"{LONGEST_SETTLE_S:.0f} seconds, because the system would not watch it: {error}."
            )
            if problem != self.problem:
                log.warning("%s", problem)
            self.problem = problem
        else:
            if all(self._watches.values()):
                self.problem = None

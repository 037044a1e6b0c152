"""The documents on disk and in memory, kept the same.

A change from above goes into memory first, then into the file, then into the history. A change
found on disk is the difference to what was last seen there, and goes the same way. Each step is
durable before the next begins, and a start after a crash at any of them goes on from there:

    change-stored      shared lines, version and what was seen of the file, in one transaction
    file-prepared      the new content is beside the file
    file-replaced      the two have changed places
    file-seen          what the file holds now is stored
    history-written    the commit's objects are in the repository
    history-moved      the branch points to the commit
    history-recorded   the version no longer waits for the history

Not covered: a program that opened a file before it was replaced and writes to it more than
`FORMER_S` later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from shared_context.atomic import FormerFile, clear_left_over, left_over, replace_file
from shared_context.document_file import Signature, is_text, read_document, signature_of
from shared_context.errors import StoreError, StoreLocked
from shared_context.identity import now
from shared_context.line_diff import Change, changed_lines, merge_edit, split_lines
from shared_context.sqlite_errors import translated_system
from shared_context.versioned_lines import VersionedLines

log = logging.getLogger(__name__)

STEPS = (
    "change-stored",
    "file-prepared",
    "file-replaced",
    "file-seen",
    "history-written",
    "history-moved",
    "history-recorded",
)

RESTORE_AFTER_S = 0.5
"""A file gone for so long was deleted; editors that rename are back within milliseconds."""

REWRITES = 5
"""Attempts to put a document on disk while another program keeps saving it."""

FORMER_S = 0.2
"""How long a file that was replaced is kept open for programs that had opened it before."""

LOCK_POLL_S = 0.02

NOTICES = 20
"""Notices kept for `problems`; older ones are only in the log."""


@dataclass(slots=True)
class _File:
    """A document's file and what is known of it."""

    path: str
    place: Path
    seen: bytes | None
    displaced: bytes | None
    signature: Signature | None = None
    trouble: str | None = None
    gone_since: float | None = None
    former: FormerFile | None = None


class DocumentStore:
    """All documents of a context folder. Safe to use from any thread.

    Args:
        folder: the context folder.
        state: this memory's own folder; one process at a time.
        author: who made the changes found on disk.
        step: called with each name of `STEPS` when that step is durable; for tests that
            crash there.
        wait_s: how long to wait for another process to let go of the state.

    Raises:
        StoreLocked: another process, or another instance in this one, has the state open.
        StoreError: the state cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        state: Path,
        author: str,
        step: Callable[[str], None] = lambda _: None,
        *,
        wait_s: float = 0.0,
    ) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self._author = author
        self._step = step
        self._files: dict[str, _File] = {}
        self._notices: deque[str] = deque(maxlen=NOTICES)
        self._changed: set[str] = set()
        self._listener: Callable[[], None] = lambda: None
        self._find: Callable[[], Iterable[str]] = tuple
        with translated_system(state):
            state.mkdir(parents=True, exist_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
        self._process_lock = _locked(state / "lock", wait_s)
        try:
            self.memory = VersionedLines(state, step)
        except BaseException:
            self._process_lock.release()
            raise
        if self.memory.history.moved_aside is not None:
            name = self.memory.history.moved_aside.name
            self._notice(f"The history could not be read; it was moved to {name} and a new one begun.")
        self._packing = threading.Thread(target=self._pack, name="history-pack", daemon=True)
        self._packing.start()

    def track(self, path: str, starter: str | None = None) -> None:
        """Keep this document on disk from now on.

        The first time, what is on disk is taken in, or the starter written when there is nothing.
        """
        with self.lock:
            if path in self._files:
                return
            seen, displaced = self.memory.seen(path), self.memory.seen(_displaced(path))
            file = _File(path, self.folder / path, seen, displaced)
            file.place.parent.mkdir(parents=True, exist_ok=True)
            self._files[path] = file
            self._merge_left_over(file)
            never_written = self.memory.state(path) is None and not file.place.exists()
            if starter is not None and never_written and not file.place.is_symlink():
                self._write_starter(file, starter)
            else:
                self._look(file, at_start=True)
            self.memory.record_history()

    def refresh(self, paths: Iterable[str]) -> None:
        """Take in what changed on disk, and put right what is missing there. A `stat` for each
        file that did not change."""
        with self.lock:
            for path in paths:
                self._look_or_note(self._files[path])
            if self._changed:
                self.memory.record_history()
        self._tell()

    def refresh_all(self) -> None:
        """`refresh` for every document that is kept on disk, and begin to keep those that were found."""
        with self.lock:
            for path in self._find():
                if path not in self._files:
                    self._track_found(path)
            self.refresh(list(self._files))

    def look_for_more(self, find: Callable[[], Iterable[str]]) -> None:
        """Have `refresh_all` keep the documents that `find` names as well."""
        self._find = find

    def change(
        self, path: str, changes: Sequence[Change], *, author: str, summary: str | None = None,
        entry_id: str | None = None,
    ) -> None:  # fmt: skip
        """Change a document in memory, on disk and in the history.

        When this returns the change is durable in memory. Disk and history follow at once, or,
        when they cannot be written, as soon as they can (see `problems`).

        Raises:
            StoreError: nothing was changed.
        """
        with self.lock:
            self.memory.change(path, changes, author=author, summary=summary, entry_id=entry_id)
            self._changed.add(path)
            self._write(self._files[path])
            self.memory.record_history()
        self._tell()

    def receive(self, update: bytes, author: str) -> set[str]:
        """Take in another replica's update; returns the documents whose text changed."""
        with self.lock:
            self.refresh_all()
            changed = self.memory.receive(update, author)
            for path in sorted(changed):
                self._changed.add(path)
                self.track(path)
                self._write(self._files[path])
            self.memory.record_history()
        self._tell()
        return changed

    def trouble(self, path: str) -> str | None:
        """Why the document's file is left alone, as the end of a sentence; None when it is not."""
        return self._files[path].trouble

    def unsettled(self) -> bool:
        """Whether a file should be looked at again soon, even if nothing tells of a change."""
        with self.lock:
            files = self._files.values()
            return any(file.signature is None or file.gone_since or file.former for file in files)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call this, from any thread, when `take_changed` has something new."""
        self._listener = listener

    def take_changed(self) -> set[str]:
        """The documents that changed since the last call."""
        with self.lock:
            changed, self._changed = self._changed, set()
            return changed

    def problems(self) -> list[str]:
        with self.lock:
            troubles = [f"{file.path} {file.trouble}." for file in self._files.values() if file.trouble]
            history = self.memory.history_problem
            return [*troubles, *([history] if history else []), *self._notices]

    def close(self) -> None:
        self._packing.join()
        with self.lock:
            try:
                for file in self._files.values():
                    self._look_at_former(file, at_once=True)
            finally:
                for file in self._files.values():
                    if file.former is not None:
                        file.former.close()
                self.memory.close()
                self._process_lock.release()

    def _track_found(self, path: str) -> None:
        try:
            self.track(path)
        except (StoreError, OSError) as error:
            file = self._files.pop(path, None)
            if file is not None and file.former is not None:
                file.former.close()
            self._notice(f"{path} could not be taken in: {error}. It will be tried again.")
        else:
            self._changed.add(path)

    def _look_or_note(self, file: _File) -> None:
        try:
            self._look(file)
        except StoreError as error:
            # Reading goes on with what was stored; the file keeps what was not.
            file.signature = None
            self._notice(f"A change of {file.path} could not be stored: {error.message}")

    def _look(self, file: _File, at_start: bool = False) -> None:
        self._look_at_former(file)
        if file.signature is not None and signature_of(file.place) == file.signature:
            return
        text = self._text(file)
        reading = read_document(file.place, self.folder, known=text)
        file.signature = reading.signature
        self._set_trouble(file, reading.trouble)
        if reading.trouble:
            return
        if reading.content is None:
            self._restore(file, at_start)
            return
        file.gone_since = None
        if reading.content == text:
            self._see(file, reading.content)
        elif reading.content == file.seen:
            self._write(file)
        else:
            self._take_in(file, file.seen, reading.content, {file.path: reading.content})
            file.seen = reading.content
            self._write(file)

    def _take_in(self, file: _File, base: bytes | None, mine: bytes, seen: dict[str, bytes]) -> None:
        """Merge what somebody saved, made from `base`, into memory."""
        old, new = split_lines((base or b"").decode("utf-8")), split_lines(mine.decode("utf-8"))
        changes = merge_edit(old, new, self.memory.texts(file.path))
        before = self.memory.state(file.path)
        self.memory.change(
            file.path,
            changes,
            author=self._author,
            summary=None if before else f"{file.path}: taken over from disk",
            seen=seen,
        )
        if self.memory.state(file.path) != before:
            self._changed.add(file.path)

    def _write(self, file: _File) -> None:
        """Put the document on disk; what another program saved meanwhile is merged first."""
        for _ in range(REWRITES):
            self._merge_left_over(file)
            text = self._text(file)
            if text is None or file.trouble or text == file.seen:
                return
            if file.former is not None:
                self._look_at_former(file, at_once=True)
                continue
            place = file.place.resolve()
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                as_expected = replace_file(place, text, file.seen, self._step)
            except OSError as error:
                self._notice(f"{file.path} could not be written: {error.strerror}. It will be tried again.")
                file.signature = None
                return
            file.signature = None
            if as_expected:
                rest = left_over(place)
                if rest is not None:
                    file.former = FormerFile(rest, file.seen or b"")
                    clear_left_over(place)
                self._see(file, text)
                self._step("file-seen")
                self._forget_displaced(file)
        # Somebody saved at each attempt: what the last one displaced is merged now, and written
        # when the file is looked at next.
        self._merge_left_over(file)

    def _merge_left_over(self, file: _File) -> None:
        """Another program saved the file just when it was replaced, or a crash came in between."""
        place = file.place.resolve()
        rest = left_over(place)
        if rest is None:
            return
        text = self._text(file) or b""
        saved = read_document(rest, self.folder, known=file.seen)
        if saved.trouble:
            kept = rest.rename(place.with_name(f"{place.name}.recovered-{int(time.time())}"))
            self._notice(f"{file.path} was replaced by something that {saved.trouble}; it is in {kept.name}.")
            return
        content = saved.content or b""
        if content not in (file.seen, file.displaced) and not text.startswith(content):
            on_disk = read_document(file.place, self.folder, known=text).content
            seen = {_displaced(file.path): content}
            if on_disk == text:
                seen[file.path] = text
            self._take_in(file, file.seen, content, seen)
            file.seen, file.displaced = seen.get(file.path, file.seen), content
        clear_left_over(place)

    def _look_at_former(self, file: _File, at_once: bool = False) -> None:
        """Merge what a program wrote to the file that was replaced under its hands."""
        former = file.former
        if former is None or not (at_once or time.monotonic() - former.since > FORMER_S):
            return
        file.former = None
        late = former.late_content()
        former.close()
        if late and is_text(late):
            self._take_in(file, former.content, late, {})
            self._write(file)

    def _forget_displaced(self, file: _File) -> None:
        if file.displaced:
            self.memory.see(_displaced(file.path), b"")
            file.displaced = None

    def _restore(self, file: _File, at_start: bool) -> None:
        if self._text(file) is None:
            return
        moment = time.monotonic()
        if file.gone_since is None:
            file.gone_since = moment
        deleted = file.seen is not None
        if deleted and not at_start and moment - file.gone_since < RESTORE_AFTER_S:
            return
        file.gone_since = file.seen = None
        self._write(file)
        if deleted:
            self._notice(f"{file.path} was deleted and has been restored. Empty it to be rid of its text.")

    def _write_starter(self, file: _File, starter: str) -> None:
        changes = changed_lines([], split_lines(starter))
        self.memory.change(file.path, changes, author=self._author, summary=f"{file.path}: starter document")
        self._write(file)

    def _see(self, file: _File, content: bytes) -> None:
        if file.seen != content:
            self.memory.see(file.path, content)
            file.seen = content

    def _set_trouble(self, file: _File, trouble: str | None) -> None:
        if trouble and trouble != file.trouble:
            log.warning("%s %s; it is left alone until that is mended.", file.path, trouble)
        file.trouble = trouble

    def _text(self, file: _File) -> bytes | None:
        state = self.memory.state(file.path)
        return None if state is None else state.text.encode("utf-8")

    def _notice(self, notice: str) -> None:
        log.warning("%s", notice)
        if not any(notice in known for known in self._notices):
            self._notices.append(f"{now()[:19]}Z: {notice}")

    def _tell(self) -> None:
        if self._changed:
            self._listener()

    def _pack(self) -> None:
        try:
            self.memory.history.pack_when_loose()
        except Exception:
            log.exception("The history could not be packed; it only takes more space.")


def _displaced(path: str) -> str:
    """Where a save that was displaced and merged is remembered, until nothing of it is left."""
    return f"{path}#displaced"


def _locked(path: Path, wait_s: float) -> FileLock:
    # Not bound to a thread: whoever closes the folder may be another than who opened it.
    lock = FileLock(path, thread_local=False)
    with translated_system(path):
        try:
            lock.acquire(timeout=wait_s, poll_interval=LOCK_POLL_S)
        except Timeout:
            raise StoreLocked(
                f"The memory's folder {path.parent.name!r} is in use by another process.",
                "Stop the other program, or choose another data folder.",
            ) from None
    return lock

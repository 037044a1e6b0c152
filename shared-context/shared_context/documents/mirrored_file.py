"""One document's file on disk, kept the same as the document in memory.

Whatever somebody saved is the difference to what was last seen in the file; it is merged into memory
before the file is written again.

Not covered: a program that opened a file before it was replaced and writes to it more than
`FORMER_S` later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared_context.documents.document_file import Signature, is_text, read_document, signature_of
from shared_context.documents.line_diff import changed_lines, join_lines, merge_edit, split_lines
from shared_context.documents.seen_file import SeenFile
from shared_context.documents.text_style import with_endings_of
from shared_context.documents.versioned_lines import VersionedLines
from shared_context.errors import StoreError
from shared_context.storage.atomic import FormerFile, clear_left_over, left_over, replace_file

log = logging.getLogger(__name__)

RESTORE_AFTER_S = 0.5
"""A file gone for so long was deleted; editors that rename are back within milliseconds."""

REWRITES = 5
"""Attempts to put a document on disk while another program keeps saving it."""

FORMER_S = 0.2
"""How long a file that was replaced is kept open for programs that had opened it before."""


@dataclass(frozen=True, slots=True)
class FolderContext:
    """What all files of a context folder have in common.

    Args:
        author: who made the changes found on disk.
        step: called with each name of `store.STEPS` when that step is durable.
        changed: called with the path of a document that a file changed.
        notice: called with what a person should know.
    """

    folder: Path
    memory: VersionedLines
    author: str
    step: Callable[[str], None]
    changed: Callable[[str], None]
    notice: Callable[[str], None]


class MirroredFile:
    """Used by one thread at a time.

    Args:
        path: of the document below the context folder; also its key in memory.
        starter: what it begins with when there is nothing on disk nor in memory.
    """

    def __init__(self, path: str, around: FolderContext, starter: str | None = None) -> None:
        self.path = path
        self._starter = starter
        self.trouble: str | None = None
        """Why the file is left alone, as the end of a sentence; None when it is not."""
        self._around = around
        self._memory = around.memory
        self._place = around.folder / path
        self._seen = SeenFile(path, self._place, around.memory)
        self._displaced = self._memory.seen(self._displaced_key)
        self._signature: Signature | None = None
        self._gone_since: float | None = None
        self._former: FormerFile | None = None

    @property
    def unsettled(self) -> bool:
        """Whether it should be looked at again soon, even if nothing tells of a change."""
        return self._signature is None or bool(self._gone_since) or self._former is not None

    def begin(self) -> None:
        """Take in what is on disk, or write the starter when there is nothing anywhere."""
        with self._later("A change of {} could not be stored"):
            self._place.parent.mkdir(parents=True, exist_ok=True)
            self._look(at_start=True)

    def look(self) -> None:
        """Take in what changed on disk, and put right what is missing there. A `stat` when nothing
        changed."""
        # Reading goes on with what was stored; the file keeps what was not.
        with self._later("A change of {} could not be stored"):
            self._look()

    def write(self) -> None:
        """Put the document on disk; what another program saved meanwhile is merged first."""
        with self._later("{} could not be written"):
            if not self._is_away():
                self._write()

    @contextmanager
    def _later(self, what: str) -> Iterator[None]:
        """What fails here, of the file or of what is remembered of it, is told and tried again at the next
        look: the document itself is stored."""
        try:
            yield
        except (OSError, StoreError) as error:
            self._signature = None
            reason = error.message if isinstance(error, StoreError) else f"{error.strerror or error}."
            self._around.notice(f"{what.format(self.path)}: {reason} It will be tried again.")

    def _is_away(self) -> bool:
        if not self._seen.is_away():
            return False
        self._signature = None
        self._around.notice(
            f"The folder of {self.path} is not there. The document is kept, and written there again."
        )
        return True

    def _write(self) -> None:
        for _ in range(REWRITES):
            self._merge_left_over()
            text = self._text()
            if text is None or self.trouble or text == self._seen.content:
                return
            if self._former is not None:
                self.look_at_former(at_once=True)
                continue
            place = self._place.resolve()
            place.parent.mkdir(parents=True, exist_ok=True)
            self._signature = None
            as_expected = replace_file(place, text, self._seen.content, self._around.step)
            if as_expected:
                rest = left_over(place)
                if rest is not None:
                    self._former = FormerFile(rest, self._seen.content or b"")
                    clear_left_over(place)
                self._seen.store(text)
                self._around.step("file-seen")
                self._forget_displaced()
        # Somebody saved at each attempt: what the last one displaced is merged now, and written
        # when the file is looked at next.
        self._merge_left_over()

    def look_at_former(self, at_once: bool = False) -> None:
        """Merge what a program wrote to the file that was replaced under its hands."""
        former = self._former
        if former is None or not (at_once or time.monotonic() - former.since > FORMER_S):
            return
        self._former = None
        late = former.late_content()
        former.close()
        if late and is_text(late):
            self._take_in(former.content, late, {})
            self.write()

    def let_go(self) -> None:
        """Close what is open."""
        if self._former is not None:
            self._former.close()

    def _look(self, at_start: bool = False) -> None:
        self.look_at_former()
        if self._signature is not None and signature_of(self._place) == self._signature:
            return
        if self._is_away():
            return
        if at_start:
            self._merge_left_over()
        text = self._text()
        reading = read_document(self._place, self._around.folder, known=text)
        self._signature = reading.signature
        self._set_trouble(reading.trouble)
        if reading.trouble:
            return
        self._seen.arrive(reading.content)
        if reading.content is None:
            self._restore(at_start)
            return
        self._gone_since = None
        if reading.content == text:
            self._seen.store(reading.content)
        elif reading.content == self._seen.content:
            self.write()
        else:
            base = self._seen.base_of(reading.content)
            if base != self._seen.content:
                self._around.notice(
                    f"{self.path} was saved by a program that had not read the last change. Both were kept."
                )
            self._take_in(base, reading.content, {self.path: reading.content})
            self._seen.note(reading.content)
            self.write()

    def _take_in(self, base: bytes | None, mine: bytes, seen: dict[str, bytes]) -> None:
        """Merge what somebody saved, made from `base`, into memory.

        Line endings belong to the file: an editor that converts all of them has changed no line.
        """
        current = self._memory.texts(self.path)
        text = join_lines(current)
        old, new = (
            split_lines(with_endings_of(content.decode("utf-8"), text)) for content in (base or b"", mine)
        )
        changes = merge_edit(old, new, current)
        before = self._memory.state(self.path)
        summary = None if before else f"{self.path}: taken over from disk"
        self._memory.change(self.path, changes, author=self._around.author, summary=summary, seen=seen)
        if self._memory.state(self.path) != before:
            self._around.changed(self.path)

    def _merge_left_over(self) -> None:
        """Another program saved the file just when it was replaced, or a crash came in between."""
        place = self._place.resolve()
        rest = left_over(place)
        if rest is None:
            return
        text = self._text() or b""
        saved = read_document(rest, self._around.folder, known=self._seen.content)
        if saved.trouble:
            kept = rest.rename(place.with_name(f"{place.name}.recovered-{int(time.time())}"))
            self._around.notice(
                f"{self.path} was replaced by something that {saved.trouble}; it is in {kept.name}."
            )
            return
        content = saved.content or b""
        if content not in (self._seen.content, self._displaced) and not text.startswith(content):
            on_disk = read_document(self._place, self._around.folder, known=text).content
            seen = {self._displaced_key: content}
            if on_disk == text:
                seen[self.path] = text
            self._take_in(self._seen.content, content, seen)
            self._seen.note(seen.get(self.path, self._seen.content))
            self._displaced = content
        clear_left_over(place)

    def _restore(self, at_start: bool) -> None:
        if self._text() is None:
            if self._starter is not None:
                self._write_starter(self._starter)
            return
        moment = time.monotonic()
        if self._gone_since is None:
            self._gone_since = moment
        deleted = self._seen.content is not None
        if deleted and not at_start and moment - self._gone_since < RESTORE_AFTER_S:
            return
        self._gone_since = None
        self._seen.note(None)
        self.write()
        if deleted:
            self._around.notice(
                f"{self.path} was deleted and has been restored. Empty it to be rid of its text."
            )

    def _write_starter(self, starter: str) -> None:
        changes = changed_lines([], split_lines(starter))
        summary = f"{self.path}: starter document"
        self._memory.change(self.path, changes, author=self._around.author, summary=summary)
        self.write()

    def _forget_displaced(self) -> None:
        if self._displaced:
            self._memory.see(self._displaced_key, b"")
            self._displaced = None

    def _set_trouble(self, trouble: str | None) -> None:
        if trouble and trouble != self.trouble:
            log.warning("%s %s; it is left alone until that is mended.", self.path, trouble)
        self.trouble = trouble

    def _text(self) -> bytes | None:
        """The document as it belongs into the file."""
        state = self._memory.state(self.path)
        if state is None:
            return None
        return with_endings_of(state.text, (self._seen.content or b"").decode("utf-8")).encode("utf-8")

    @property
    def _displaced_key(self) -> str:
        """Where a save that was displaced and merged is remembered, until nothing of it is left."""
        return f"{self.path}#displaced"

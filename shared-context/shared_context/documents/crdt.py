"""The documents as lists of lines that merge by themselves (a Yjs document, through pycrdt).

One Yjs document holds an array per handoff document, keyed by its path. An element is a line:

- a string, or
- for lines that replaced others, `{"t": text, "h": hunk}`: lines put in together share a hunk.
  The first also has `"o"`: the runs `[client, clock, length]` of ids of the lines it stands for,
  inherited from what it replaced; `"a"`: the author; and, when it was put beside lines that
  somebody else had put there, `"r"`: their runs, or `DELETION` when what it stands for was deleted.

Two hunks standing for the same line were made at once: that is a conflict, and every replica
finds it in the shared state by itself. It ends when one side is left, so resolving needs no protocol.
A deletion leaves nothing to find: whoever merges it with an edit puts the edit's lines in again as a hunk
that says so. What replaces such a hunk stands for the hunk, not for what was deleted: it is the decision.

Knows nothing of files, storage and versions. Not safe for use by two threads at once.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pycrdt
from pycrdt import Array, Assoc, Doc, StickyIndex, TransactionEvent

from shared_context.documents.document_names import is_document_path
from shared_context.documents.line import DELETION, Line, LineRun, runs_of
from shared_context.documents.line_diff import LineChange, join_lines
from shared_context.documents.update_format import check_update
from shared_context.errors import DocumentRejected

LINES_PER_TRANSACTION = 128
"""Inserting walks over what the same transaction inserted before: quadratic beyond this."""

MAX_RUNS = 64
"""Ids a hunk inherits at most. Beyond, a conflict may go unlisted; its lines still both stay."""


@contextmanager
def refused(what: str) -> Iterator[None]:
    """What the Yjs library does not take, as an error of ours. Where it fails by itself, it raises a
    BaseException (a panic), which would end the thread.

    Raises:
        DocumentRejected.
    """
    try:
        yield
    except DocumentRejected:
        raise
    except (ValueError, RecursionError) as error:
        raise DocumentRejected(f"{what}: {error}.") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise DocumentRejected(f"{what}: it is damaged.") from error


class SharedLines:
    """All documents of one replica, as lines."""

    def __init__(self) -> None:
        self._lines: dict[str, list[Line]] = {}
        self._touched: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        # A new client id per process: a replica put back from a backup must never reuse ids.
        self._doc: Doc[Any] = Doc(allow_multithreading=True)
        self._arrays: dict[str, Array[Any]] = {}
        self._subscriptions: list[Any] = []

    @property
    def client(self) -> int:
        """The id under which changes are written."""
        return int(self._doc.client_id)

    def paths(self) -> list[str]:
        return sorted(self._doc.keys())

    def lines(self, path: str) -> list[Line]:
        """The document's lines; none when it was never written."""
        if path not in self._lines:
            # Reading element by element walks over all edits before it, each time.
            elements = json.loads(str(self._array(path)))
            self._lines[path] = [Line.of_element(element) for element in elements]
        return self._lines[path]

    def texts(self, path: str) -> list[str]:
        return [line.text for line in self.lines(path)]

    def text(self, path: str) -> str:
        return join_lines(self.texts(path))

    def change(self, path: str, changes: Sequence[LineChange], author: str) -> bytes:
        """Perform the changes; returns the update that performs them elsewhere."""
        before = self.state_vector()
        array, lines = self._array(path), list(self.lines(path))
        del self._lines[path]
        work = sum(1 + len(change.lines) for change in changes)
        with self._recording() as updates, self._at_once(work <= LINES_PER_TRANSACTION):
            for change in reversed(changes):
                if change.disputed and any(line.is_disputed for line in lines[change.start : change.stop]):
                    continue
                lines[change.start : change.stop] = self._perform(array, lines, change, author)
        self._lines[path] = lines
        if len(updates) > 1:
            return self._doc.get_update(before)
        return updates[0] if updates else b""

    def delete(self, path: str, indexes: Sequence[int]) -> bytes:
        """Take lines out; returns the update."""
        return self.change(path, [LineChange(i, i + 1) for i in sorted(indexes)], "")

    def ids(self, path: str, indexes: Sequence[int]) -> list[tuple[int, int]]:
        """Ids of the lines, the same on every replica: `(client, clock)`."""
        return self._ids(self._array(path), indexes)

    def state_vector(self) -> bytes:
        """What this replica has, in Yjs's encoding."""
        return self._doc.get_state()

    def update_since(self, vector: bytes | None = None) -> bytes:
        """What a replica with this state vector lacks; None: everything.

        Raises:
            DocumentRejected: the bytes are no state vector.
        """
        with refused("The state vector cannot be read"):
            return self._doc.get_update(vector)

    def load(self, update: bytes) -> None:
        """Take in an update of this replica's own storage, unchecked."""
        self._doc.apply_update(update)
        self._lines.clear()

    def receive(self, update: bytes) -> set[str]:
        """Take in an update of another replica; returns the paths it may have changed.

        Nothing is taken in when it is refused. Receiving it again changes nothing.

        Raises:
            DocumentRejected: no update, one with something else than lines of handoff documents,
                or one that builds on updates this replica lacks.
        """
        check_update(update)
        # Making a copy to try it in costs as much as all that was ever written; this costs far less.
        before = self.update_since()
        try:
            touched = self._take_in(update)
            self._check_taken_in(update, touched)
        except BaseException:
            self.close()
            self._begin()
            self.load(before)
            raise
        return touched

    def close(self) -> None:
        """Let go of the document. Yjs holds on to its observers otherwise."""
        for subscription in self._subscriptions:
            subscription.drop()
        self._subscriptions.clear()
        self._arrays.clear()

    def _take_in(self, update: bytes) -> set[str]:
        # Only arrays that are observed tell that they changed.
        for path in self.paths():
            self._array(path)
        known = set(self._arrays)
        self._touched.clear()
        with refused("The update cannot be read"):
            self._doc.apply_update(update)
        return self._touched | (set(self.paths()) - known)

    def _check_taken_in(self, update: bytes, touched: Iterable[str]) -> None:
        with refused("The update cannot be read"):
            rest = pycrdt.get_update(update, self.state_vector())
        if rest[:1] != b"\0":
            raise DocumentRejected(
                "The update builds on changes that are missing here.",
                "Exchange state vectors and send everything since.",
            )
        for path in touched:
            if not is_document_path(path):
                raise DocumentRejected(f"The update holds {path[:80]!r}, which is no handoff document.")
            with refused("The update cannot be read"):
                self.lines(path)

    def _perform(self, array: Array[Any], lines: list[Line], change: LineChange, author: str) -> list[Line]:
        removed = range(change.start, change.stop)
        # Between two removed lines nobody else's new line can come first.
        at = change.start + 1 if len(removed) > 1 else change.start
        new = self._new_lines(array, lines, change, author)
        elements = [line.element() for line in new]
        for start in range(0, len(elements), LINES_PER_TRANSACTION):
            array[at + start : at + start] = elements[start : start + LINES_PER_TRANSACTION]
        count = len(elements)
        if change.stop > at:
            del array[at + count : change.stop + count]
        if at > change.start:
            del array[change.start : at]
        return new

    def _new_lines(self, array: Array[Any], lines: list[Line], change: LineChange, author: str) -> list[Line]:
        if not change.lines:
            return []
        over = self._standing_for(array, lines, range(change.start, change.stop))
        rivals: list[LineRun] = []
        for index in change.rivals:
            over += lines[index].over
        if change.rivals and not over:
            rivals = runs_of(self._ids(array, change.rivals))
        if change.disputed:
            rivals = [DELETION]
            author = next((line.author for line in lines[change.start : change.stop] if line.author), author)
        if not over and not rivals:
            return [Line(text) for text in change.lines]
        hunk = secrets.token_urlsafe(6)
        first, *rest = change.lines
        head = Line(first, hunk, tuple(over[:MAX_RUNS]), tuple(rivals[:MAX_RUNS]), author[:64])
        return [head, *(Line(text, hunk) for text in rest)]

    def _standing_for(self, array: Array[Any], lines: list[Line], removed: range) -> list[LineRun]:
        inherited = [run for i in removed if not lines[i].is_disputed for run in lines[i].over]
        own = [i for i in removed if lines[i].is_disputed or not lines[i].over]
        return [*inherited, *runs_of(self._ids(array, own))]

    def _ids(self, array: Array[Any], indexes: Sequence[int]) -> list[tuple[int, int]]:
        with self._doc.transaction():
            items = [StickyIndex.new(array, i, Assoc.AFTER).to_json()["item"] for i in indexes]
        return [(int(item["client"]), int(item["clock"])) for item in items]

    def _array(self, path: str) -> Array[Any]:
        if path not in self._arrays:
            array: Array[Any] = self._doc.get(path, type=Array)
            self._arrays[path] = array
            self._subscriptions.append(array.observe(self._noticing(path)))
        return self._arrays[path]

    def _noticing(self, path: str) -> Callable[[Any], None]:
        def notice(event: Any) -> None:
            self._touched.add(path)
            lines = self._lines.pop(path, None)
            # What cannot be read is told to whoever asks for the lines next.
            with contextlib.suppress(DocumentRejected):
                if lines is not None:
                    self._lines[path] = _after(lines, event.delta)

        return notice

    @contextmanager
    def _at_once(self, wanted: bool) -> Iterator[None]:
        if not wanted:
            yield
            return
        with self._doc.transaction():
            yield

    @contextmanager
    def _recording(self) -> Iterator[list[bytes]]:
        updates: list[bytes] = []

        def record(event: TransactionEvent) -> None:
            updates.append(event.update)

        subscription = self._doc.observe(record)
        try:
            yield updates
        finally:
            self._doc.unobserve(subscription)


def _after(lines: Sequence[Line], delta: Iterable[Mapping[str, Any]]) -> list[Line]:
    """The lines after a change, as Yjs tells it: reading only what is new.

    Raises:
        DocumentRejected: something new is no line.
    """
    after: list[Line] = []
    at = 0
    for part in delta:
        if "insert" in part:
            after += [Line.of_element(element) for element in part["insert"]]
            continue
        kept = part.get("retain", 0)
        after += lines[at : at + kept]
        at += kept + part.get("delete", 0)
    return after + list(lines[at:])

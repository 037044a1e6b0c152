"""Reads updates of other replicas before the Yjs library does.

The library reads nested values recursively: one that is nested deeply enough ends the whole process,
and no error can be caught. So an update is read here first, without recursion, and only what handoff
documents are made of goes on: lines (strings and small maps) in arrays, and deletions.

The encoding is Yjs's v1 (`Y.encodeStateAsUpdate`), its values lib0's `any`: a number of clients; for each
of them a number of structs, its id, a clock, and the structs, which follow each other without gaps;
at last the deleted ranges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shared_context.errors import DocumentRejected

MAX_DEPTH = 8
"""Of values in values. A line has three: a map that holds a list of runs, which are lists."""

GC, SKIP = 0, 10
DELETED, ANY = 1, 8
HAS_ORIGIN, HAS_RIGHT_ORIGIN, HAS_PARENT_SUB = 0x80, 0x40, 0x20
CONTENT = 0x1F

_NO_BYTES = frozenset({127, 126, 121, 120})
"""undefined, null, false, true."""
_FIXED = {124: 4, 123: 8, 122: 8}
"""float32, float64, bigint."""
_INTEGER, _STRING, _MAP, _LIST, _BYTES = 125, 119, 118, 117, 116

Id = tuple[int, int]
"""Client and clock."""


class Struct(NamedTuple):
    """
    Args:
        length: how many clocks it takes.
        start, end: where its bytes are.
        needs: ids that must be known before it: those it was put between.
    """

    client: int
    clock: int
    length: int
    start: int
    end: int
    needs: tuple[Id, ...]


def check_update(update: bytes) -> None:
    """
    Raises:
        DocumentRejected: it cannot be read, or holds something else than lines of documents.
    """
    for _ in structs_of(Reader(update)):
        pass


def structs_of(reader: Reader) -> Iterator[Struct]:
    """The structs of an update; the reader stands at the deleted ranges afterwards.

    Raises:
        DocumentRejected: see `check_update`.
    """
    try:
        for _ in range(reader.number()):
            structs = reader.number()
            client, clock = reader.number(), reader.number()
            for _ in range(structs):
                start = reader.at
                length, needs = _read_struct(reader)
                yield Struct(client, clock, length, start, reader.at, needs)
                clock += length
    except IndexError as error:
        raise DocumentRejected("The update cannot be read: it ends too early.") from error


def deleted_runs(update: bytes) -> Iterator[tuple[int, int, int]]:
    """What an update says is deleted: client, first clock, number of clocks.

    Args:
        update: one that the library wrote.
    """
    reader = Reader(update)
    for _ in structs_of(reader):
        pass
    for _ in range(reader.number()):
        client, count = reader.number(), reader.number()
        for _ in range(count):
            yield client, reader.number(), reader.number()


def read_values(reader: Reader, count: int) -> None:
    """Read over so many values, with all that is in them."""
    open_lists = [(count, False)]
    while open_lists:
        left, keyed = open_lists.pop()
        if not left:
            continue
        open_lists.append((left - 1, keyed))
        if keyed:
            reader.skip(reader.number())
        kind = reader.byte()
        if kind in (_STRING, _BYTES):
            reader.skip(reader.number())
        elif kind in (_LIST, _MAP):
            if len(open_lists) > MAX_DEPTH:
                raise _no_line("values nested too deeply")
            open_lists.append((reader.number(), kind == _MAP))
        elif kind == _INTEGER:
            reader.number()
        elif kind in _FIXED:
            reader.skip(_FIXED[kind])
        elif kind not in _NO_BYTES:
            raise _no_line(f"a value of kind {kind}")


class Reader:
    """Reads on from where it is; IndexError at the end."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def byte(self) -> int:
        value = self.data[self.at]
        self.at += 1
        return value

    def number(self) -> int:
        """Of variable length: seven bits a byte, lowest first (lib0). A sign, where there is one, is
        one of these bits, and makes no difference to the length."""
        data, at = self.data, self.at
        value = shift = 0
        while (byte := data[at]) >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            at += 1
            if shift > 70:
                raise _no_line("a number that is too large")
        self.at = at + 1
        return value | byte << shift

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.data):
            raise IndexError


def _read_struct(reader: Reader) -> tuple[int, tuple[Id, ...]]:
    info = reader.byte()
    if info in (GC, SKIP):
        return reader.number(), ()
    needs = tuple(
        (reader.number(), reader.number()) for flag in (HAS_ORIGIN, HAS_RIGHT_ORIGIN) if info & flag
    )
    if not needs:
        if reader.number() != 1 or info & HAS_PARENT_SUB:
            raise _no_line("something inside of something else")
        reader.skip(reader.number())  # the array's name
    content = info & CONTENT
    length = reader.number() if content in (DELETED, ANY) else 0
    if content == ANY:
        read_values(reader, length)
    elif content != DELETED:
        raise _no_line(f"content of kind {content}")
    return length, needs


def _no_line(what: str) -> DocumentRejected:
    return DocumentRejected(
        f"The update holds {what}, which no line of a handoff document is.",
        "The other replica may run a newer version of this program.",
    )

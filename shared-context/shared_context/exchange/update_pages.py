"""Cuts an update that is too large for one message into parts that each stand by themselves.

A part holds whole structs, in an order in which each comes after those it builds on, so that whoever
takes it in lacks nothing for it. What follows is what the next exchange of state vectors asks for:
nothing has to be remembered between parts. Deletions come with the last one.
"""

from __future__ import annotations

from shared_context.documents.update_format import (
    ANY,
    CONTENT,
    HAS_ORIGIN,
    HAS_RIGHT_ORIGIN,
    Id,
    Reader,
    Struct,
    read_values,
    structs_of,
)

PAGE_BYTES = 3 * 1024 * 1024
"""4 MiB as base64, half of what a request may have."""


def first_page(update: bytes, most: int = PAGE_BYTES) -> bytes:
    """The update itself when it has at most `most` bytes; else its first part, which has about as
    many, or, where a single line is larger, that line.

    Args:
        update: what somebody lacks of one of our own documents.
    """
    if len(update) <= most:
        return update
    reader = Reader(update)
    waiting: dict[int, list[Struct]] = {}
    for struct in structs_of(reader):
        waiting.setdefault(struct.client, []).append(struct)
    page = _Page(update, most)
    page.fill(waiting)
    whole = page.count == sum(len(structs) for structs in waiting.values())
    return page.encoded(update[reader.at :] if whole else b"\0")


class _Page:
    """Structs of an update, chosen until they have enough bytes."""

    def __init__(self, update: bytes, most: int) -> None:
        self.count = 0
        self._update = update
        self._left = most
        self._chosen: dict[int, list[Struct]] = {}
        self._part: tuple[Struct, bytes] | None = None
        """The beginning of a struct that is too large as a whole, alone on its page."""

    def fill(self, waiting: dict[int, list[Struct]]) -> None:
        places = dict.fromkeys(waiting, 0)
        moved = True
        while moved:
            moved = False
            for client, structs in waiting.items():
                while places[client] < len(structs):
                    struct = structs[places[client]]
                    if _builds_on_waiting(struct, waiting, places):
                        break
                    if not self._take(struct):
                        return
                    places[client] += 1
                    moved = True

    def encoded(self, deletions: bytes) -> bytes:
        parts = [_number(1 if self._part else len(self._chosen))]
        if self._part is not None:
            struct, beginning = self._part
            parts += [_number(1), _number(struct.client), _number(struct.clock), beginning]
        for client, structs in self._chosen.items():
            parts += [_number(len(structs)), _number(client), _number(structs[0].clock)]
            parts += [self._update[one.start : one.end] for one in structs]
        return b"".join([*parts, deletions])

    def _take(self, struct: Struct) -> bool:
        size = struct.end - struct.start
        if size <= self._left:
            self._chosen.setdefault(struct.client, []).append(struct)
            self._left -= size
            self.count += 1
            return True
        if not self.count:
            self._part = struct, _beginning(self._update[struct.start : struct.end], self._left)
        return False


def _builds_on_waiting(struct: Struct, waiting: dict[int, list[Struct]], places: dict[int, int]) -> bool:
    return any(_is_waiting(need, struct, waiting, places) for need in struct.needs)


def _is_waiting(needed: Id, struct: Struct, waiting: dict[int, list[Struct]], places: dict[int, int]) -> bool:
    client, clock = needed
    if client == struct.client or client not in waiting:
        return False
    structs = waiting[client]
    place = places[client]
    return place < len(structs) and structs[place].clock <= clock


def _beginning(struct: bytes, most: int) -> bytes:
    """The first values of a struct of values: as many as have `most` bytes, at least one. A struct
    of another kind is small, and given as it is."""
    reader = Reader(struct)
    info = reader.byte()
    if info & CONTENT != ANY:
        return struct
    if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN):
        for flag in (HAS_ORIGIN, HAS_RIGHT_ORIGIN):
            if info & flag:
                reader.number()
                reader.number()
    else:
        reader.number()
        reader.skip(reader.number())
    head = struct[: reader.at]
    values = reader.number()
    first = reader.at
    count = 0
    while count < values:
        before = reader.at
        read_values(reader, 1)
        if count and reader.at - first > most:
            reader.at = before
            break
        count += 1
    return head + _number(count) + struct[first : reader.at]


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])

"""Yjs state vectors: how far each writer's changes are known. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from shared_context.errors import DocumentRejected

MAX_BITS = 63
"""Of a number; Yjs's are below 2 ** 53."""


def entries_of(vector: bytes) -> dict[int, int]:
    """The writers in a state vector (v1) that wrote anything, and up to which clock.

    Raises:
        DocumentRejected: the bytes are no state vector.
    """
    numbers = unsigned(vector)
    count = next(numbers)
    if 2 * count > len(vector):
        raise DocumentRejected("The state vector cannot be read: it ends too soon.")
    entries = ((next(numbers), next(numbers)) for _ in range(count))
    return {client: clock for client, clock in entries if clock}


def covers(vector: bytes, other: bytes) -> bool:
    """Whether whoever has the first state lacks nothing of the second, deletions aside.

    Raises:
        DocumentRejected: see `entries_of`.
    """
    known = entries_of(vector)
    return all(known.get(client, 0) >= clock for client, clock in entries_of(other).items())


def unsigned(data: bytes) -> Iterator[int]:
    """Unsigned integers of variable length: seven bits a byte, lowest first (lib0); zeros without end
    behind the last one.

    Raises:
        DocumentRejected: a number has more than `MAX_BITS` bits.
    """
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > MAX_BITS:
            raise DocumentRejected("The state vector cannot be read: a number is too large.")
        if byte < 0x80:
            yield value
            value = shift = 0
    while True:
        yield 0

"""The documents' side of an exchange: what a replica has of them, in a form that can be compared.

A Yjs state vector does not tell what was deleted, so two replicas with equal vectors may differ.
The digest covers both: equal digests mean equal documents.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.state_vector import unsigned
from shared_context.errors import DocumentRejected
from shared_context.exchange.update_pages import PAGE_BYTES, first_page

READINGS = 5
"""Attempts to read vector and deletions of the same moment while somebody writes."""


@dataclass(frozen=True, slots=True)
class DocumentsSummary:
    """A Yjs state vector, and the digest of it together with the deletions."""

    vector: bytes
    digest: str


class SharedDocuments:
    """A context folder as a partner in exchanges. Updates go to `context` itself."""

    def __init__(self, context: ContextFolder) -> None:
        self.context = context
        self._latest: tuple[bytes, bytes, DocumentsSummary] | None = None

    def summary(self) -> DocumentsSummary:
        for _ in range(READINGS):
            vector = self.context.state_vector()
            deletions = self.context.update_since(vector)
            # Begins with the number of writers with new lines: none, unless somebody wrote in between.
            if deletions[:1] == b"\0":
                break
        latest = self._latest
        # An exchange asks several times, and reading ten thousand deletions takes milliseconds.
        if latest is None or latest[:2] != (vector, deletions):
            latest = vector, deletions, DocumentsSummary(vector, digest(vector, deletions))
            self._latest = latest
        return latest[2]

    def lacking(self, theirs: DocumentsSummary) -> bytes | None:
        """The update that somebody in this state lacks, or a first part of it, when it is large;
        None when they have the same.

        Raises:
            DocumentRejected: their vector cannot be read.
        """
        if theirs.digest == self.summary().digest:
            return None
        return first_page(self.context.update_since(theirs.vector), PAGE_BYTES)

    def meet(self, theirs: DocumentsSummary) -> None:
        """To be called with somebody's state before anything is received; see `ContextFolder.meet`.

        Raises:
            DocumentRejected: their vector cannot be read. StoreError.
        """
        if theirs.digest != self.summary().digest:
            self.context.meet(theirs.vector)

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call this soon after documents changed; returns a function that ends the calls."""
        return self.context.on_any_change(lambda _: callback())


def digest(vector: bytes, deletions: bytes) -> str:
    """SHA-256 over what is there and what is deleted, in one canonical form (see docs/sync.md).

    Args:
        vector: a Yjs state vector.
        deletions: a Yjs update (v1) without new structs, which is its delete set.
    """
    numbers = unsigned(vector)
    clients = sorted([next(numbers), next(numbers)] for _ in range(next(numbers)))
    numbers = unsigned(deletions[1:])
    deleted = sorted([next(numbers), _ranges(numbers)] for _ in range(next(numbers)))
    present = [entry for entry in clients if entry[1]]
    text = json.dumps([present, [entry for entry in deleted if entry[1]]], separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def decode(text: str) -> bytes:
    """
    Raises:
        DocumentRejected: it is no base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise DocumentRejected(f"The text is no base64: {error}.") from error


def _ranges(numbers: Iterator[int]) -> list[list[int]]:
    """Deleted ids of one client as [clock, length], in order and joined."""
    ranges = sorted([next(numbers), next(numbers)] for _ in range(next(numbers)))
    joined: list[list[int]] = []
    for clock, length in ranges:
        if joined and clock <= sum(joined[-1]):
            joined[-1][1] = max(joined[-1][1], clock + length - joined[-1][0])
        else:
            joined.append([clock, length])
    return joined

"""One line of a shared document, and how it is written as an element of a Yjs array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared_context.errors import DocumentRejected

_LARGEST_ID = 2**53
"""Yjs ids are JavaScript's exact integers."""


class LineRun(NamedTuple):
    """Ids of `length` lines that were written one after the other by one client."""

    client: int
    clock: int
    length: int


DELETION = LineRun(0, 0, 1)
"""Among a line's rivals: somebody deleted what it stands for. No line has this id, and replicas that do not know
its meaning look for such a line and go on without it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line's text and, when it replaced others, what it stands for (see `crdt`)."""

    text: str
    hunk: str | None = None
    over: tuple[LineRun, ...] = ()
    rivals: tuple[LineRun, ...] = ()
    author: str = ""

    @property
    def is_disputed(self) -> bool:
        """Whether somebody deleted what this line stands for, and nobody has decided yet."""
        return DELETION in self.rivals

    def element(self) -> Any:
        if self.hunk is None:
            return self.text
        element: dict[str, Any] = {"t": self.text, "h": self.hunk}
        if self.over:
            element["o"] = [list(run) for run in self.over]
        if self.rivals:
            element["r"] = [list(run) for run in self.rivals]
        if self.author:
            element["a"] = self.author
        return element

    @classmethod
    def of_element(cls, element: Any) -> Line:
        """The line in an element.

        Raises:
            DocumentRejected: it is no line. Only another program's update can hold such a thing.
        """
        if isinstance(element, str):
            return cls(_one_line(element))
        if not isinstance(element, dict) or not element.keys() <= {"t", "h", "o", "r", "a"}:
            raise _no_line(element)
        text, hunk, author = element.get("t"), element.get("h"), element.get("a", "")
        if not (isinstance(text, str) and isinstance(hunk, str) and isinstance(author, str)):
            raise _no_line(element)
        return cls(
            _one_line(text), hunk[:64], _runs(element.get("o", ())), _runs(element.get("r", ())), author[:64]
        )


def runs_of(ids: Iterable[tuple[int, int]]) -> list[LineRun]:
    """Ids as runs, in their order."""
    runs: list[LineRun] = []
    for client, clock in ids:
        if runs and runs[-1].client == client and runs[-1].clock + runs[-1].length == clock:
            runs[-1] = runs[-1]._replace(length=runs[-1].length + 1)
        else:
            runs.append(LineRun(client, clock, 1))
    return runs


def _runs(value: Sequence[Any]) -> tuple[LineRun, ...]:
    try:
        runs = tuple(LineRun(*(int(number) for number in run)) for run in value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_line(value) from error
    if any(not 0 <= number <= _LARGEST_ID for run in runs for number in run):
        raise _no_line(value)
    return runs


def _one_line(text: str) -> str:
    if "\n" in text:
        raise _no_line(text)
    return text


def _no_line(value: Any) -> DocumentRejected:
    return DocumentRejected(
        f"An update holds something that is no line: {str(value)[:80]!r}.",
        "The other replica may run a newer version of this program.",
    )

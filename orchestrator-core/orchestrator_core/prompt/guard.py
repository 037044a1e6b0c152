"""Text from people must not act as a control token.

A person who writes `[/INST]` or `</s>` writes those letters, not the end of the turn. The
guard marks such places before a template sees the text, and cuts the finished prompt
there: each piece is tokenised on its own, so the letters stay and the token never forms.

Covered: a control token's text inside one text, overlapping ones, and one that would form
where a text touches the template. Not covered: raw prompts (`POST /generate`), which are
sent as they stand on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Any

_MARKS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
"""Unicode noncharacters: never in interchanged text, so they can mark a place while rendering."""


_MARKED = re.compile("[\ufdd0-\ufdef]|\\\\ufd[de]")
"""One of them, or one as JSON writes it in ASCII."""


class Marks:
    """Two marks that occur in none of the texts of one prompt: a cut, and the end of the snapshot.

    Text that holds all 32 noncharacters is hostile; then the first two are taken out of it.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        used = {
            char
            for text in texts
            if _MARKED.search(text)
            for char in _MARKS
            if char in text or _escape(char) in text
        }
        free = [char for char in _MARKS if char not in used]
        self._drop = len(free) < 2
        self.cut, self.stable = (free if not self._drop else _MARKS)[:2]

    def clean(self, text: str) -> str:
        return text.replace(self.cut, "").replace(self.stable, "") if self._drop else text


class ControlGuard:
    """Finds control tokens in text from people.

    Args:
        control: texts of the tokenizer's control tokens. One of a single character cannot be
            cut inside; the guard leaves it alone.
    """

    def __init__(self, control: Collection[str]) -> None:
        self._tokens = {token for token in control if len(token) > 1}
        self._lengths = sorted({len(token) for token in self._tokens})
        firsts = "".join(sorted({token[0] for token in self._tokens}))
        # Only where a token may begin: alternatives of a thousand tokens would all be tried everywhere.
        self._begins = re.compile(f"[{re.escape(firsts)}]") if firsts else None
        self._heads = {token[:n] for token in self._tokens for n in range(1, len(token))}
        self._tails = {token[n:] for token in self._tokens for n in range(1, len(token))}

    def mark(self, text: str, cut: str) -> str:
        """`text` with `cut` after the first character of each control token in it, and at an
        end that is part of one."""
        if self._begins is None or not text:
            return text
        places = {
            begin.start() + 1 for begin in self._begins.finditer(text) if self._stands_at(text, begin.start())
        }
        longest = range(1, min(self._lengths[-1] - 1, len(text)) + 1)
        if any(text[:n] in self._tails for n in longest):
            places.add(0)
        if any(text[-n:] in self._heads for n in longest):
            places.add(len(text))
        if not places:
            return text
        edges = [0, *sorted(places), len(text)]
        return cut.join(text[start:end] for start, end in pairwise(edges))

    def _stands_at(self, text: str, start: int) -> bool:
        return any(text[start : start + length] in self._tokens for length in self._lengths)

    def mark_all(self, value: Any, cut: str) -> Any:
        """`mark` on every text inside lists and dictionaries (tool definitions, tool calls)."""
        if isinstance(value, str):
            return self.mark(value, cut)
        if isinstance(value, Mapping):
            return {key: self.mark_all(inner, cut) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.mark_all(inner, cut) for inner in value]
        return value


def split_marked(text: str, marks: Marks) -> tuple[tuple[str, ...], int]:
    """The pieces of a rendered prompt, and how many of its characters are the snapshot.

    The snapshot's mark may be absent (then 0); of several, the first counts.
    """
    for mark in (marks.cut, marks.stable):
        text = text.replace(_escape(mark), mark)  # A template may write JSON in ASCII.
    before, marker, _ = text.partition(marks.stable)
    stable = len(before) - before.count(marks.cut) if marker else 0
    pieces = tuple(piece for piece in text.replace(marks.stable, "").split(marks.cut) if piece)
    return pieces or ("",), stable


def _escape(mark: str) -> str:
    return f"\\u{ord(mark):04x}"


def texts_in(value: Any) -> Iterable[str]:
    """Every text inside lists and dictionaries."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts_in(key)
            yield from texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_in(inner)

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


class Marks:
    """Two marks that occur in none of the texts of one prompt: a cut, and the end of the snapshot.

    Text that holds all 32 noncharacters is hostile; then the first two are taken out of it.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        used = {char for text in texts for char in _MARKS if char in text}
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
        tokens = sorted((token for token in control if len(token) > 1), key=len, reverse=True)
        alternatives = "|".join(re.escape(token) for token in tokens)
        self._inside = re.compile(f"(?=(?:{alternatives}))") if tokens else None
        self._heads = {token[:n] for token in tokens for n in range(1, len(token))}
        self._tails = {token[n:] for token in tokens for n in range(1, len(token))}
        self._longest = max((len(token) for token in tokens), default=1) - 1

    def mark(self, text: str, cut: str) -> str:
        """`text` with `cut` after the first character of each control token in it, and at an
        end that is part of one."""
        if self._inside is None or not text:
            return text
        places = {found.start() + 1 for found in self._inside.finditer(text)}
        if any(text.startswith(tail) for tail in self._short(self._tails, text[: self._longest])):
            places.add(0)
        if any(text[-n:] in self._heads for n in range(1, min(self._longest, len(text)) + 1)):
            places.add(len(text))
        if not places:
            return text
        edges = [0, *sorted(places), len(text)]
        return cut.join(text[start:end] for start, end in pairwise(edges))

    @staticmethod
    def _short(parts: set[str], start: str) -> list[str]:
        return [start[:n] for n in range(1, len(start) + 1) if start[:n] in parts]

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
    before, found, _ = text.partition(marks.stable)
    stable = len(before) - before.count(marks.cut) if found else 0
    pieces = tuple(piece for piece in text.replace(marks.stable, "").split(marks.cut) if piece)
    return pieces or ("",), stable


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

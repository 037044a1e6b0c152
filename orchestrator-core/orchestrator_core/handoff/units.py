"""A message as the pieces a fact can be: sentences, list items, lines of code. Pure.

Each piece is a part of the message as it stands, only its line breaks become spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

MAX_CHARS = 60_000
"""Of one message that are looked at: its beginning, which says what a pasted file is about."""
WRAPPED = 60
"""A line at least this long that ends without a full stop goes on in the next one."""


def listed(words: str) -> frozenset[str]:
    """Words between white space, as they stand in a source file."""
    return frozenset(words.split())


_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})[ \t]*([\w+-]*)")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+(?:\[( |x|X)\][ \t]+)?")
_HEADING = re.compile(r"#{1,6}[ \t]+(?=\S)")
_END = re.compile(r"[.!?…]{1,8}[\"')\]»”’*_]{0,4}(?=\s)|[。！？]+")
_ABBREVIATIONS = listed(
    """
    z b d h u a o e g i bzw ca nr dr prof hr fr mr mrs ms st vs cf bspw vgl ggf evtl inkl incl
    approx fig abb kap sec sek eq mme sra no jr ltd mind max min tel str abs art aufl hrsg rev
    resp dept
    """
)
LONGEST_ABBREVIATION = 12
_NO_WORD = re.compile(r"\W")


@dataclass(frozen=True, slots=True)
class Unit:
    """
    Args:
        text: on one line.
        lead: the heading, or the line with a colon, that a list item stands under.
        checked: of a task list's box; None without one.
        language: of a line of code as its fence names it; None for what is no code.
    """

    text: str
    kind: Literal["sentence", "item", "code"]
    lead: str = ""
    checked: bool | None = None
    language: str | None = None


def units(text: str) -> list[Unit]:
    """The pieces of a message in order. Quoted lines (`>`), tables and rules are left out."""
    return list(_Reader(text[:MAX_CHARS]).read())


def sentences(paragraph: str) -> list[str]:
    """Sentences of one paragraph. Abbreviations and ordinals do not end one."""
    found: list[str] = []
    start = 0
    for end in _END.finditer(paragraph):
        if end.group().startswith(".") and len(end.group().rstrip("\"')]»”’*_")) == 1:
            before = paragraph[max(start, end.start() - LONGEST_ABBREVIATION) : end.start()]
            if _goes_on(_NO_WORD.split(before)[-1]):
                continue
        found.append(paragraph[start : end.end()])
        start = end.end()
    found.append(paragraph[start:])
    return [sentence for part in found if (sentence := one_line(part))]


def one_line(text: str) -> str:
    return " ".join(text.split())


def _goes_on(word: str) -> bool:
    """Whether a full stop after this word need not end the sentence: `z. B.`, `14. März`."""
    return word.lower() in _ABBREVIATIONS or (word.isdigit() and len(word) <= 2)


class _Reader:
    def __init__(self, text: str) -> None:
        self._lines = text.replace("\r\n", "\n").split("\n")
        self._paragraph: list[str] = []
        self._item: list[str] | None = None
        self._checked: bool | None = None
        self._lead = ""
        self._blank = True

    def read(self) -> Iterator[Unit]:
        position = 0
        while position < len(self._lines):
            line = self._lines[position]
            position += 1
            fence = _FENCE.match(line)
            if fence:
                yield from self._close()
                position, code = self._fenced(position, fence.group(1))
                yield from _code(code, fence.group(2).lower())
            elif not line.strip():
                yield from self._close()
                self._blank = True
                continue
            elif line.startswith(("    ", "\t")) and self._blank and self._item is None:
                yield from _code([line], "")
                continue  # so that the next indented line is code as well
            else:
                yield from self._text(line)
            self._blank = False
        yield from self._close()

    def _fenced(self, position: int, mark: str) -> tuple[int, list[str]]:
        code: list[str] = []
        while position < len(self._lines):
            line = self._lines[position]
            position += 1
            if line.strip().startswith(mark) and not line.strip().strip("`~"):
                break
            code.append(line)
        return position, code

    def _text(self, line: str) -> Iterator[Unit]:
        heading = _HEADING.match(line)
        item = _ITEM.match(line)
        if heading:
            yield from self._close()
            self._lead = line[heading.end() :].strip().rstrip("#").rstrip()
        elif line.lstrip().startswith((">", "|")) or not any(c.isalnum() for c in line):
            yield from self._close()
        elif item:
            yield from self._close()
            self._item = [line[item.end() :]]
            self._checked = None if item.group(1) is None else item.group(1) != " "
        elif self._item is not None and line.startswith((" ", "\t")):
            self._item.append(line)
        else:
            if self._item is not None:
                yield from self._close()
            if self._paragraph and not _is_wrapped(self._paragraph[-1]):
                yield from self._close()
            self._paragraph.append(line)

    def _close(self) -> Iterator[Unit]:
        if self._item is not None:
            text = "\n".join(self._item)
            for sentence in sentences(text):
                yield Unit(sentence, "item", self._lead, self._checked)
            self._item = None
        elif self._paragraph:
            found = sentences("\n".join(self._paragraph))
            self._paragraph = []
            for sentence in found:
                yield Unit(sentence, "sentence")
            self._lead = found[-1] if found and found[-1].rstrip("*_ ").endswith(":") else ""


def _is_wrapped(line: str) -> bool:
    return len(line.rstrip()) >= WRAPPED and not line.rstrip().endswith((".", "!", "?", ":", "…"))


def _code(lines: list[str], language: str) -> Iterator[Unit]:
    whole: list[str] = []
    for line in lines:
        whole.append(line)
        if not line.rstrip().endswith("\\"):
            if text := one_line("\n".join(whole)):
                yield Unit(text, "code", language=language)
            whole = []
    if text := one_line("\n".join(whole)):
        yield Unit(text, "code", language=language)

"""Keeping a document's line endings when a text comes from elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def ends_with_carriage_return(lines: Sequence[str]) -> bool:
    """Whether most lines of a document end in CR LF."""
    ended = lines[:-1]
    return sum(line.endswith("\r") for line in ended) * 2 > len(ended)


def in_style_of(lines: Sequence[str], text: str) -> str:
    """The text with the line endings of the document.

    Browsers send CR LF or LF as they please, whatever the document has; a text that mixes them
    means it and stays.
    """
    if not lines or "\n" not in text:
        return text
    foreign = text.count("\r\n")
    if ends_with_carriage_return(lines):
        return text if foreign else text.replace("\n", "\r\n")
    return text.replace("\r\n", "\n") if foreign == text.count("\n") else text


def block_at_end(lines: Sequence[str], block: Sequence[str]) -> tuple[int, list[str]]:
    """Where to put a block so that it ends the document, and its lines: one empty line goes
    before it, and the document ends in a newline."""
    ending = "\r" if ends_with_carriage_return(lines) else ""
    terminated = bool(lines) and lines[-1] == ""
    at = len(lines) - 1 if terminated else len(lines)
    gap = [""] if at and lines[at - 1].strip() else []
    return at, [*(line + ending for line in [*gap, *block]), *([] if terminated else [""])]


def with_endings_of(text: str, model: str) -> str:
    """The text with the line endings of `model`, where each of the two has endings of one kind."""
    if _is_uniform(text) and _is_uniform(model):
        plain = text.replace("\r\n", "\n")
        return plain.replace("\n", "\r\n") if "\r\n" in model else plain
    return text


def _is_uniform(text: str) -> bool:
    ends = text.count("\n")
    return ends > 0 and text.count("\r\n") in (0, ends)

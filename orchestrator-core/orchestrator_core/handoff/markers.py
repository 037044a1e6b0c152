"""The words of `markers.yaml`, and which kind of item a sentence is by them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from orchestrator_core.handoff.item import Kind
from orchestrator_core.handoff.sentences import Sentence

LEAST_CHARS = 4
"""Of what follows a marker; less says nothing."""


def kind_of(sentence: Sentence) -> tuple[Kind, str] | None:
    """The kind that a sentence names itself, and what it says without a leading `TODO:`; None: none.

    In this order: a task list's box, a lead before a colon, the heading or announcing line above a list
    item, an opening phrase. Questions perform nothing, and neither do words between quotation marks.
    """
    if sentence.checked is not None:
        return (Kind.DONE if sentence.checked else Kind.TODO), sentence.text
    lead, rest = _split_lead(sentence.text)
    if (kind := _leads().get(lead)) is not None and len(rest) >= LEAST_CHARS:
        return kind, rest
    if sentence.listed and (kind := _leads().get(_bare(sentence.lead))) is not None:
        return kind, sentence.text
    if is_question(sentence.text):
        return None
    return _by_phrase(sentence.text)


def is_question(text: str) -> bool:
    return text.rstrip("*_ \"')»”」").endswith(("?", "？", "؟"))


def titles(section: str) -> frozenset[str]:
    """What a section of a handoff document may be called, in lower case."""
    return frozenset(_words("sections")[section])


def _split_lead(text: str) -> tuple[str, str]:
    lead, colon, rest = text.replace("：", ":", 1).partition(":")
    return (_bare(lead), rest.strip(" *_")) if colon else ("", "")


def _by_phrase(text: str) -> tuple[Kind, str] | None:
    opening = text.lstrip("*_ ").casefold().replace("’", "'")
    # "OK, we decided": one word and a comma may stand before it.
    first, comma, rest = opening.partition(",")
    for start in (opening, rest.strip() if comma and " " not in first else ""):
        for phrase, kind in _phrases().items():
            if start.startswith(phrase) and _ends_word(start, len(phrase)):
                return (kind, text) if len(start) - len(phrase) >= LEAST_CHARS else None
    return None


def _ends_word(text: str, at: int) -> bool:
    """Whether a word ends here; in languages written without spaces, always."""
    return at >= len(text) or not (text[at - 1].isascii() and text[at].isalnum())


def _bare(title: str) -> str:
    return title.strip(" #*_:：.").casefold()


@cache
def _leads() -> Mapping[str, Kind]:
    return {word: Kind(kind) for kind, words in _words("leads").items() for word in words}


@cache
def _phrases() -> Mapping[str, Kind]:
    return {phrase: Kind(kind) for kind, phrases in _words("phrases").items() for phrase in phrases}


@cache
def _words(part: str) -> dict[str, list[str]]:
    """Of every language together."""
    table: dict[str, dict[str, list[str]]] = _table()[part]
    return {name: [word for words in by.values() for word in words] for name, by in table.items()}


@cache
def _table() -> dict[str, Any]:
    text = files("orchestrator_core.handoff").joinpath("markers.yaml").read_text("utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    return table

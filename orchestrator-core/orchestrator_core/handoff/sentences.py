"""A message as the pieces an item can be: sentences, list items, boxes of task lists. Pure.

Code, quoted lines, tables and HTML are left out: nobody speaks there for himself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sentencex
from markdown_it import MarkdownIt
from markdown_it.token import Token
from shared_context.retrieval.segments import words_in
from shared_context.retrieval.stopwords import language_of

from orchestrator_core.handoff.item import one_line

MAX_CHARS = 60_000
"""Of one message that are read: its beginning, which says what a pasted file is about."""
SLICE = 2_000
"""Characters that are split into sentences at once: the splitter takes quadratic time without spaces. No line a
person typed is longer."""
WRAPPED = 60
"""Characters; a line this long that ends without a stop was broken to fit a page."""
_ENDS = (".", "!", "?", ":", "…", "。", "！", "？", "：")


@dataclass(frozen=True, slots=True)
class Sentence:
    """
    Args:
        text: on one line, as it was written.
        lead: the heading, or the line ending with a colon, that a list item stands under.
        checked: state of a task list's box; None without one.
        listed: it is a list item.
    """

    text: str
    lead: str = ""
    checked: bool | None = None
    listed: bool = False


def sentences(text: str) -> list[Sentence]:
    """The sentences and list items of a message, in order. Languages differ in what a full stop may follow:
    `am 14. März`."""
    beginning = text[:MAX_CHARS]
    return list(_read(_blocks().parse(beginning), language_of(words_in(beginning))))


def _blocks() -> MarkdownIt:
    """Blocks only: what is inside a line is not parsed, so no text makes it slow."""
    parser = MarkdownIt("commonmark", {"maxNesting": 20}).enable("table").disable(["code", "html_block"])
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _read(tokens: list[Token], language: str) -> Iterator[Sentence]:
    lead = ""
    quoted = tables = items = 0
    first_of_item = heading = False
    for token in tokens:
        match token.type:
            case "blockquote_open" | "blockquote_close":
                quoted += token.nesting
            case "table_open" | "table_close":
                tables += token.nesting
            case "list_item_open" | "list_item_close":
                items += token.nesting
                first_of_item = token.nesting == 1
            case "heading_open" | "heading_close":
                heading = token.nesting == 1
            case "inline" if not quoted and not tables:
                content = token.content.strip()
                if heading:
                    lead = one_line(content)
                elif first_of_item:
                    first_of_item = False
                    yield _list_item(content, lead)
                else:
                    yield from _paragraph(content, language)
                    last = one_line(content.rpartition("\n")[2])
                    lead = last if last.endswith((":", "：")) else (lead if items else "")


def _list_item(content: str, lead: str) -> Sentence:
    box = content[:4].lower()
    checked = {"[ ] ": False, "[x] ": True}.get(box)
    text = content[4:] if checked is not None else content
    return Sentence(one_line(text), lead, checked, listed=True)


def _paragraph(content: str, language: str) -> Iterator[Sentence]:
    for thought in _thoughts(content):
        for start in range(0, len(thought), SLICE):
            for part in sentencex.segment(language, thought[start : start + SLICE]):
                if text := one_line(part):
                    yield Sentence(text)


def _thoughts(paragraph: str) -> Iterator[str]:
    """The lines of a paragraph: in a chat a new line is a new thought. One that was broken to fit a page
    goes on in the next."""
    thought = ""
    for line in paragraph.split("\n"):
        thought = f"{thought} {line}" if thought else line
        if len(line) < WRAPPED or line.rstrip().endswith(_ENDS):
            yield thought
            thought = ""
    if thought:
        yield thought

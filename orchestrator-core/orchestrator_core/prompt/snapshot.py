"""The handoff documents as one prompt prefix: the part that stays from turn to turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared_context.documents.context_folder import Document
from shared_context.documents.document_names import LOG, PORTFOLIO, PROJECT
from shared_context.documents.markdown import without_comments
from shared_context.documents.starters import starter_text

from orchestrator_core.handoff.item_line import is_superseded
from orchestrator_core.handoff.markers import titles
from orchestrator_core.prompt.budget import DOCUMENT_WEIGHTS, shares
from orchestrator_core.prompt.counting import TokenCounter
from orchestrator_core.prompt.cutting import Cut, Lasting, cut_document, cut_log, lasting_tokens
from orchestrator_core.prompt.receipt import DocumentUse, named
from orchestrator_core.remembered import Remembered

INTRODUCTION = "These documents hold what is known so far, from broad to narrow."
LEAST_TOKENS = 24
"""A document that would get fewer is left out: its heading alone tells the model nothing."""
LASTING = {
    PORTFOLIO: Lasting(titles("owner")),
    PROJECT: Lasting(titles("decisions") | titles("facts"), part=0.5),
}
"""The sections in which handoffs put what holds beyond a session. What is known about the owner is cut last of all."""
_NOTE_TITLES = 5
_NOTE_CHARS = 240


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    Args:
        text: the documents as the model reads them; "" when there is nothing to show.
        tokens: of `text`.
        documents: for the receipt, broad to narrow, those left out included.
    """

    text: str
    tokens: int
    documents: tuple[DocumentUse, ...]


class SnapshotMaker:
    """Cuts and joins documents; remembers the results, so an unchanged set costs nothing."""

    def __init__(self, count: TokenCounter) -> None:
        self._count = count
        self._made: Remembered[tuple[object, ...], Snapshot] = Remembered(64)

    def make(self, documents: Sequence[Document], budget: int) -> Snapshot:
        """The snapshot of these documents in at most about `budget` tokens."""
        key = (budget, tuple((document.name, document.version) for document in documents))
        return self._made.get(key, lambda: self._make(documents, budget))

    def cut(self, document: Document, budget: int) -> tuple[Cut, int]:
        """What of one document fits, and the tokens of the whole; comments do not count."""
        text = _in_force(document)
        cut, _ = self._fitted(document.name, text, budget)
        return cut, self._count(text)

    def _make(self, documents: Sequence[Document], budget: int) -> Snapshot:
        texts = {d.name: _shown_text(d) for d in documents}
        frames = {name: self._count(_framed(name, "")) for name, text in texts.items() if text}
        left = budget - self._count(INTRODUCTION) - sum(frames.values())
        needs = {name: self._count(text) for name, text in texts.items()}
        given = self._shares(max(left, 0), texts, needs)
        blocks: list[str] = []
        uses: list[DocumentUse] = []
        for document in documents:
            cut, block = self._fitted(document.name, texts[document.name], given[document.name])
            if block:
                blocks.append(block)
            uses.append(_use(document, needs[document.name], cut))
        if blocks:
            blocks.insert(0, INTRODUCTION)
        missing = ", ".join(use.name for use in uses if use.state == "left_out")
        if missing and budget >= 4 * LEAST_TOKENS:
            blocks.append(f"[Left out for lack of room: {missing}.]")
        text = "\n\n".join(blocks)
        return Snapshot(text, self._count(text), tuple(uses))

    def _shares(self, total: int, texts: Mapping[str, str], needs: Mapping[str, int]) -> dict[str, int]:
        """Tokens each document may use. What lasts goes before all else."""
        lasting: dict[str, int] = {}
        for name, sections in LASTING.items():
            free = total - sum(lasting.values())
            lasting[name] = lasting_tokens(texts.get(name, ""), sections, free, self._count)
        rest = {name: max(0, need - lasting.get(name, 0)) for name, need in needs.items()}
        given = shares(total - sum(lasting.values()), rest, DOCUMENT_WEIGHTS)
        return {name: tokens + lasting.get(name, 0) for name, tokens in given.items()}

    def _fitted(self, name: str, text: str, room: int) -> tuple[Cut, str]:
        """What of the document fits `room` tokens, the line about its cut included."""
        if not text:
            return Cut("", 0), ""
        needed = self._count(text)
        if needed <= room:
            return Cut(text, needed), _framed(name, text)
        budget = room
        for _ in range(4):
            if budget < LEAST_TOKENS:
                break
            if name == LOG:
                cut = cut_log(text, budget, self._count)
            else:
                cut = cut_document(text, budget, self._count, LASTING.get(name, Lasting()))
            if not cut.text:
                break
            shown = _with_note(name, cut)
            excess = self._count(shown) - room
            if excess <= 0:
                return cut, _framed(name, shown)
            budget -= excess
        return Cut("", 0, ("everything",)), ""


def _shown_text(document: Document) -> str:
    """What of a document is for the model: not its comments, not an untouched starter."""
    return "" if _is_untouched(document) else _in_force(document)


def _in_force(document: Document) -> str:
    """The text without comments and without the items that newer ones replaced: of a correction, a model reads
    only what holds now."""
    lines = document.text.split("\n") if "~~" in document.text else []
    text = "\n".join(line for line in lines if not is_superseded(line)) if lines else document.text
    return without_comments(text).strip()


def _is_untouched(document: Document) -> bool:
    if not document.text.strip():
        return True
    try:
        return document.text.strip() == starter_text(document.name).strip()
    except (OSError, ValueError):
        return False


def _framed(name: str, text: str) -> str:
    return f'<document name="{name}">\n{text.strip()}\n</document>'


def _with_note(name: str, cut: Cut) -> str:
    """The cut text and one line that tells the model what is missing."""
    if name == LOG:
        whole = [title for title in cut.left_out if not title.startswith("part of ")]
        omitted = f"{len(whole)} older entries" if whole else "the end of the entry"
        return f"[Left out: {omitted}.]\n{cut.text.strip()}"
    titles = "; ".join(cut.left_out[:_NOTE_TITLES])[:_NOTE_CHARS]
    more = len(cut.left_out) - _NOTE_TITLES
    return f"{cut.text.strip()}\n[Shortened. Left out: {titles}{f'; and {more} more' if more > 0 else ''}.]"


def _use(document: Document, needed: int, cut: Cut) -> DocumentUse:
    if _is_untouched(document):
        return DocumentUse(name=document.name, version=document.version, state="untouched")
    state = "left_out" if not cut.text else "shortened" if cut.left_out else "whole"
    return DocumentUse(
        name=document.name,
        version=document.version,
        state=state,
        tokens=cut.tokens,
        tokens_left_out=max(0, needed - cut.tokens),
        left_out=named(cut.left_out),
    )

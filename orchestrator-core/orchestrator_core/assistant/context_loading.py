"""A handoff document as extra context for one question (`/context/load`, the SDK)."""

from __future__ import annotations

from dataclasses import dataclass

from shared_context.documents.context_folder import Document

from orchestrator_core.prompt.builder import PromptBuilder


@dataclass(frozen=True, slots=True)
class LoadedContext:
    """A document cut to a number of tokens, to be sent as `context`.

    Args:
        left_out: headings or entries that are missing, wholly or in part.
    """

    name: str
    version: str
    text: str
    tokens: int
    tokens_left_out: int
    left_out: tuple[str, ...]


def load_context(document: Document, max_tokens: int, builder: PromptBuilder) -> LoadedContext:
    """What of the document fits; comments are not part of it."""
    cut, whole = builder.cut(document, max_tokens)
    return LoadedContext(
        name=document.name,
        version=document.version,
        text=cut.text,
        tokens=cut.tokens,
        tokens_left_out=max(0, whole - cut.tokens),
        left_out=cut.left_out,
    )

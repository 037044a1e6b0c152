"""What an answer was made from, in a form that is stored, sent and shown."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_NAMED = 20
"""Titles listed per document; of more, only the number is told."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class DocumentUse(_Part):
    """How much of one document the model saw."""

    name: str
    version: str
    state: Literal["whole", "shortened", "left_out", "untouched"]
    """`untouched`: still the starter text, which says nothing, so it is not shown."""
    tokens: int = Field(0, ge=0)
    tokens_left_out: int = Field(0, ge=0)
    left_out: tuple[str, ...] = ()
    """Headings or entries that are missing, wholly or in part."""


class HistoryUse(_Part):
    """Messages of the conversation that the model saw, and that it did not."""

    kept: int = Field(0, ge=0)
    dropped: int = Field(0, ge=0)
    tokens: int = Field(0, ge=0)
    summary_tokens: int = Field(0, ge=0)
    """Of sentences from the dropped messages that stood in their place; 0: nothing did."""


class RecalledUse(_Part):
    """A passage from elsewhere in the memory that the model saw with the question."""

    source: str
    """`message`, `log` or `document`."""
    id: str
    at: str | None = None
    tokens: int = Field(0, ge=0)
    text: str = ""
    """As the model read it. Later turns show it again with its question, so that the engine need
    not read the turn again. "" once the message it was taken from is deleted."""


class Receipt(_Part):
    """Stored with each answer. Token numbers are counted with the answering model's tokenizer."""

    tier: str
    model: str
    """Of a model of the registry its reference, which names the version."""
    adapter: str | None = None
    base: str | None = None
    """The model that the adapter was attached to."""
    reason: str = ""
    """Why this tier answered."""
    snapshot: str = ""
    """Hash of the prompt's stable prefix: equal hashes saw equal documents."""
    documents: tuple[DocumentUse, ...] = ()
    history: HistoryUse = HistoryUse()
    retrieved: tuple[RecalledUse, ...] = ()
    """Best first."""
    prompt_tokens: int = Field(0, ge=0)
    cached_tokens: int = Field(0, ge=0)
    max_tokens: int = Field(0, ge=0)
    max_tokens_lowered_from: int | None = None
    """The configured default, where the window had no room for it."""


def named(titles: tuple[str, ...]) -> tuple[str, ...]:
    """At most `MAX_NAMED` titles, and how many more there are."""
    if len(titles) <= MAX_NAMED:
        return titles
    return (*titles[: MAX_NAMED - 1], f"and {len(titles) - MAX_NAMED + 1} more")

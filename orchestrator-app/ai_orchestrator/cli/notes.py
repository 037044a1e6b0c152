"""The dim line under an answer: who answered, and what did not fit. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def answer_note(done: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str | None:
    """The line for a finished answer, or None when there is nothing worth a line.

    Args:
        done: fields of the `/chat` answer.
        before: those of the previous answer of this session: the same tier and model are not
            named again.
    """
    parts = []
    named = answered_by(done)
    if named and (before is None or named != answered_by(before)):
        parts.append(named)
    receipt = done.get("receipt") or {}
    if recalled := len(receipt.get("retrieved") or []):
        parts.append(f"{recalled} earlier passage{'s' if recalled > 1 else ''} recalled")
    parts.extend(left_out(receipt))
    reason = done.get("finish_reason")
    if reason == "length":
        parts.append("cut at the token limit (max_tokens)")
    elif reason == "cancelled":
        parts.append("stopped")
    return " · ".join(parts) or None


def left_out(receipt: Mapping[str, Any]) -> list[str]:
    """What the prompt had no room for, in words."""
    parts = []
    for document in receipt.get("documents") or []:
        missing = document.get("tokens_left_out") or 0
        if missing > 0:
            parts.append(f"{document['name']}: {missing} tokens left out")
    if receipt.get("max_tokens_lowered_from"):
        parts.append(f"room for {receipt['max_tokens']} tokens of answer only")
    history = receipt.get("history") or {}
    dropped = history.get("dropped") or 0
    if dropped:
        instead = ", summed up" if history.get("summary_tokens") else " left out"
        parts.append(f"{dropped} earlier message{'s' if dropped > 1 else ''}{instead}")
    return parts


def seam_note(seam: Mapping[str, Any]) -> str:
    """The line where another engine or tier goes on with the answer.

    After a restart of the server the last words may have been lost (`from`): they are said
    again, perhaps differently, and what a terminal has shown cannot be taken back.
    """
    if seam.get("from") is not None:
        return "[the server was restarted; what follows replaces the last words above]"
    return f"[continued by {answered_by(seam) or 'another engine'}]"


def answered_by(data: Mapping[str, Any]) -> str:
    """Tier and model, and why it was this tier where that is worth a word."""
    named = " · ".join(str(data[key]) for key in ("tier", "model") if data.get(key))
    # On the desktop the reason is always the same; elsewhere it says why it was not the desktop.
    away = data.get("tier") not in (None, "desktop")
    return f"{named} ({data['reason']})" if named and away and data.get("reason") else named

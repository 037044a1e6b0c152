"""The log entry of a session, made of its items. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from orchestrator_core.handoff.item import HandoffItem, Kind
from orchestrator_core.handoff.item_line import storable

HEADINGS = {
    Kind.ASKED: "Asked:",
    Kind.DECIDED: "Decided:",
    Kind.DONE: "Done:",
    Kind.TODO: "To do:",
    Kind.QUESTION: "Open:",
    Kind.OWNER: "About the owner:",
    Kind.FACT: "Facts:",
    Kind.FILE: "Files:",
    Kind.COMMAND: "Commands:",
}
NAMED = (Kind.FILE, Kind.COMMAND)
NOTHING = "Nothing was asked, decided or left open."
BY_ASSISTANT = " (assistant)"


def entry_text(items: Sequence[HandoffItem]) -> str:
    """The entry's markdown, without the dated heading that the log gives it."""
    blocks = [_block(kind, [item for item in items if item.kind is kind]) for kind in Kind]
    return "\n\n".join(block for block in blocks if block) or NOTHING


def entry_id(conversation_id: str, message_ids: Iterable[str]) -> str:
    """The same session always gets the same id, so that it is in the log once, whoever ends it."""
    digest = hashlib.sha256("\0".join((conversation_id, *message_ids)).encode("utf-8", "replace"))
    return f"s{digest.hexdigest()[:10]}"


def _block(kind: Kind, items: Sequence[HandoffItem]) -> str:
    if not items:
        return ""
    if kind in NAMED:
        return f"{HEADINGS[kind]} {', '.join(f'`{storable(item.text)}`' for item in items)}"
    lines = [f"- {storable(item.text)}{BY_ASSISTANT if item.by_assistant else ''}" for item in items]
    return "\n".join([HEADINGS[kind], "", *lines])

"""The log entry of a session: fixed words around sentences of the session. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from orchestrator_core.handoff.extract import Extract, Fact, Kind
from orchestrator_core.handoff.named import NameKind

HEADINGS = {
    Kind.ASKED: "Asked:",
    Kind.DECIDED: "Decided:",
    Kind.DONE: "Done:",
    Kind.TODO: "To do:",
    Kind.OPEN: "Open:",
    Kind.SAID: "Also said:",
}
NAME_HEADINGS = {
    NameKind.FILE: "Files:",
    NameKind.ADDRESS: "Addresses:",
    NameKind.COMMAND: "Commands:",
    NameKind.VERSION: "Versions:",
    NameKind.CODE: "Named:",
}
BY_ASSISTANT = "(assistant) "
NOTHING = "Nothing was asked, decided or left open."
MAX_CHARS = 6_000
"""Of an entry; about 1,500 tokens. Every entry is read again with every question until it is old."""
MOST = {Kind.ASKED: 12, Kind.DECIDED: 20, Kind.DONE: 12, Kind.TODO: 20, Kind.OPEN: 12, Kind.SAID: 10}
MOST_NAMES = {
    NameKind.FILE: 25,
    NameKind.ADDRESS: 10,
    NameKind.COMMAND: 12,
    NameKind.VERSION: 10,
    NameKind.CODE: 15,
}
NAMES_PART = 3
"""Names get at most this part of an entry (a third)."""


def entry_text(found: Extract, wording: Mapping[str, str] | None = None, max_chars: int = MAX_CHARS) -> str:
    """The entry's markdown, without the dated heading that the log gives it.

    Args:
        wording: other words for some of the facts.
        max_chars: when there is more, what was just said goes first, then what was asked, and of
            each kind the oldest.
    """
    names = _names(found, max_chars // NAMES_PART)
    still_open = {fact.text for fact in found.of(Kind.OPEN)}
    once = [fact for fact in found.facts if fact.kind is not Kind.ASKED or fact.text not in still_open]
    facts = chosen(once, max_chars - len(names))
    blocks = [_block(kind, facts, wording or {}) for kind in Kind]
    text = "\n\n".join(block for block in (*blocks, names) if block)
    return text or NOTHING


def chosen(facts: Sequence[Fact], max_chars: int) -> list[Fact]:
    """As many as fit, the weightiest kinds and the newest of each first; in the order they were said.

    The first thing asked is what the session was about: it stays whatever goes.
    """
    ranked: list[Fact] = []
    for kind in (Kind.DECIDED, Kind.TODO, Kind.OPEN, Kind.DONE, Kind.ASKED, Kind.SAID):
        own = [fact for fact in facts if fact.kind is kind]
        own.sort(key=lambda fact: (fact.strong, not fact.by_assistant), reverse=True)
        newest = [*(f for f in reversed(own) if f.strong), *(f for f in reversed(own) if not f.strong)]
        ranked += newest[: MOST[kind]]
    first = next((fact for fact in facts if fact.kind is Kind.ASKED), None)
    if first is not None:
        ranked = [first, *(fact for fact in ranked if fact != first)]
    kept: list[Fact] = []
    left = max_chars - sum(len(heading) + 4 for heading in HEADINGS.values())
    for fact in ranked:
        left -= len(fact.text) + 16
        if left < 0:
            break
        kept.append(fact)
    return [fact for fact in facts if fact in kept]


def entry_id(conversation_id: str, message_ids: Iterable[str]) -> str:
    """The same session always gets the same id, so that it is in the log once, whoever ends it."""
    digest = hashlib.sha256("\0".join((conversation_id, *message_ids)).encode("utf-8", "replace"))
    return f"s{digest.hexdigest()[:10]}"


def line_of(fact: Fact, wording: Mapping[str, str]) -> str:
    return f"- {BY_ASSISTANT if fact.by_assistant else ''}{wording.get(fact.text, fact.text)}"


def _block(kind: Kind, facts: Sequence[Fact], wording: Mapping[str, str]) -> str:
    lines = [line_of(fact, wording) for fact in facts if fact.kind is kind]
    return "\n".join([HEADINGS[kind], "", *lines]) if lines else ""


def _names(found: Extract, max_chars: int) -> str:
    lines: list[str] = []
    left = max_chars
    for kind, heading in NAME_HEADINGS.items():
        listed: list[str] = []
        for name in [name.text for name in found.names if name.kind is kind][: MOST_NAMES[kind]]:
            left -= len(name) + 4
            if left < 0:
                break
            listed.append(f"`{name}`")
        if listed:
            lines.append(f"{heading} {', '.join(listed)}")
    return "\n\n".join(lines)

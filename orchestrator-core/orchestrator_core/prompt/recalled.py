"""Which recalled passages a prompt shows, and how they read. Pure.

They stand in the turn they were recalled for, then and ever after: what was sent once stays byte
for byte as it was, so the engine need not read it again. What an earlier turn shows is not
recalled again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared_context.retrieval.recall import Found

from orchestrator_core.prompt.receipt import RecalledUse

HEADING = "From earlier, perhaps of use:"
LEAST_WINDOW = 4096
"""A smaller window has better uses, and the built-in model never saw a prompt with recalled text."""
DEFAULT_SHARE = 0.05
"""Every recalled token is one the engine must read before it answers: on a CPU 400 take seconds."""
MOST = 5
"""Passages in one prompt; what ranks lower seldom helps and often misleads."""
BEFORE_CHARS = 200
LATER_PART = 0.03
"""In a conversation under way, of the tokens its prompt has anyway: of a long one 95 % are cached then."""
LEAST_LATER = 0.3
"""But never less than this part of what a first question gets: short conversations need it too."""
MOST_CHARS = 20_000
"""Of one turn's passages, when they come from a stored receipt: far above what any budget lets in."""


@dataclass(frozen=True, slots=True)
class Recalled:
    uses: tuple[RecalledUse, ...] = ()

    @property
    def text(self) -> str:
        """The block as the model reads it; "" for none."""
        return _block(use.text for use in self.uses)

    @property
    def without_last(self) -> Recalled:
        """The same with the least fitting passage left out."""
        return Recalled(self.uses[:-1])


_BETWEEN = "\n- "


def share_of(window: int, setting: float | None) -> float:
    """Part of the window for recalled passages; None chooses by the window."""
    if setting is not None:
        return setting
    return DEFAULT_SHARE if window >= LEAST_WINDOW else 0.0


def room_of_turn(room: int, shown: int, *, first: bool) -> int:
    """Tokens that one turn may recall.

    Args:
        room: that of the first question of a conversation.
        shown: tokens of documents and history in the prompt.
    """
    return room if first else min(room, max(int(LEAST_LATER * room), int(LATER_PART * shown)))


def recalled_before(receipt: Mapping[str, Any] | None) -> str:
    """The block that an answer with this stored receipt was made from; "" for none."""
    uses = receipt.get("retrieved") if receipt else None
    if not isinstance(uses, list | tuple):
        return ""
    lines = [str(use.get("text") or "") for use in uses[:MOST] if isinstance(use, Mapping)]
    return _block(line for line in lines if line)[:MOST_CHARS]


def _block(lines: Iterable[str]) -> str:
    joined = _BETWEEN.join(lines)
    return HEADING + _BETWEEN + joined if joined else ""


def choose(
    candidates: Sequence[Found], shown: Sequence[str], budget: int, count: Callable[[str], int]
) -> Recalled:
    """As many of the best passages as fit, without what the prompt shows anyway.

    Args:
        candidates: best first.
        shown: texts the model sees: documents, history, the question.
        budget: tokens for heading and passages.
    """
    seen = _plain("\n".join(shown))
    uses: list[RecalledUse] = []
    left = budget - count(HEADING)
    for one in candidates:
        if len(uses) == MOST:
            break
        if _plain(_body(one)) in seen:
            continue
        line = _line(one, seen)
        tokens = count(_BETWEEN + line)
        if tokens <= left:
            left -= tokens
            at = one.at or None
            uses.append(RecalledUse(source=one.source, id=one.item, at=at, tokens=tokens, text=line))
    return Recalled(tuple(uses))


def _line(one: Found, seen: str) -> str:
    """One passage on one line, with who said it and when."""
    # Only the question's own project is recalled from, so its name would say nothing.
    name = one.document.rpartition("/")[2]
    origin = ", ".join(part for part in (one.at[:10], one.speaker or name) if part)
    before = _plain(one.before)
    reply = ""
    if before and before not in seen:
        cut = before[:BEFORE_CHARS] + ("…" if len(before) > BEFORE_CHARS else "")
        reply = f' (after: "{cut}")'
    return f"[{origin}] {_plain(one.text)}{reply}"


def _body(one: Found) -> str:
    """Without the title a section was given for the index: the prompt has it as a heading."""
    return one.text if one.source == "message" else one.text.partition("\n")[2] or one.text


def _plain(text: str) -> str:
    return " ".join(text.split())

"""Which recalled passages a prompt shows, and how they read. Pure.

They stand in the newest turn and nowhere else: what comes before it stays byte for byte as it
was, so the engine need not read it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Recalled:
    """
    Args:
        text: the block as the model reads it; "" for none.
    """

    text: str = ""
    uses: tuple[RecalledUse, ...] = ()

    @property
    def without_last(self) -> Recalled:
        """The same with the least fitting passage left out."""
        lines = self.text.split(_BETWEEN)[:-1]
        return Recalled(_BETWEEN.join(lines), self.uses[:-1]) if len(self.uses) > 1 else Recalled()


_BETWEEN = "\n- "


def share_of(window: int, setting: float | None) -> float:
    """Part of the window for recalled passages; None chooses by the window."""
    if setting is not None:
        return setting
    return DEFAULT_SHARE if window >= LEAST_WINDOW else 0.0


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
    lines: list[str] = []
    uses: list[RecalledUse] = []
    left = budget - count(HEADING)
    for one in candidates:
        if len(lines) == MOST:
            break
        if _plain(_body(one)) in seen:
            continue
        line = _line(one, seen)
        tokens = count(_BETWEEN + line)
        if tokens <= left:
            left -= tokens
            lines.append(line)
            uses.append(RecalledUse(source=one.source, id=one.item, at=one.at or None, tokens=tokens))
    return Recalled(HEADING + _BETWEEN + _BETWEEN.join(lines), tuple(uses)) if lines else Recalled()


def _line(one: Found, seen: str) -> str:
    """One passage on one line, with who said it and when."""
    name = one.item.partition("#")[0]
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

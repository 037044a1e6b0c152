"""Which recalled passages a prompt shows, and how they read. Pure.

They stand in the turn they were recalled for, then and ever after: what was sent once stays byte
for byte as it was, so the engine need not read it again. What an earlier turn shows is not
recalled again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared_context.conversations.search import excerpt
from shared_context.retrieval.recall import Found

from orchestrator_core.prompt.receipt import RecalledUse

Count = Callable[[str], int]

HEADING = "From earlier, perhaps of use:"
DEFAULT_SHARE = 0.25
MOST_TOKENS = 2000
"""Every recalled token is one the engine must read before it answers: on a CPU 400 take seconds."""
LEAST_OF_BEST = 0.45
"""What fits so much less well than the best is left out: where a question finds its words, a third of the
room is used, and all of it where little is known."""
LASTING_PART = 0.3
"""Of a turn's tokens, beside them, for what the owner said that lasts."""
WITH_NEIGHBOUR = 3
"""The best passages also tell what they answered: "On Friday." says little without its question."""
NEIGHBOUR_CHARS = 200
LEAST_CHARS = 80
"""Less of a passage says too little."""
LATER_PART = 0.03
"""In a conversation under way, of the tokens its prompt has anyway: of a long one 95 % are cached then."""
LEAST_LATER = 0.5
"""But never less than this part of what a first question gets: what left the window is asked for, too."""
MOST = 50
MOST_CHARS = 20_000
"""Of one turn's passages, when they come from a stored receipt: far above what any budget lets in."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """
    Args:
        by_fit: the best first.
    """

    by_fit: tuple[RecalledUse, ...] = ()

    @property
    def uses(self) -> tuple[RecalledUse, ...]:
        """As they are shown, newest first: what was corrected since stands behind its correction."""
        return tuple(sorted(self.by_fit, key=lambda use: use.at or "", reverse=True))

    @property
    def text(self) -> str:
        """The block as the model reads it; "" for none."""
        return _block(use.text for use in self.uses)

    @property
    def without_last(self) -> Recalled:
        """The same with the least fitting passage left out."""
        return Recalled(self.by_fit[:-1])


_BETWEEN = "\n- "


def room_of(window: int, setting: float | None) -> int:
    """Tokens for recalled passages.

    Args:
        setting: part of the window; None: chosen here.
    """
    return min(int(window * DEFAULT_SHARE), MOST_TOKENS) if setting is None else int(window * setting)


def room_of_turn(room: int, shown: int, *, first: bool) -> int:
    """Tokens that one turn may recall.

    Args:
        room: that of the first question of a conversation.
        shown: tokens of documents and history in the prompt.
    """
    return room if first else min(room, max(int(LEAST_LATER * room), int(LATER_PART * shown)))


def room_of_lasting(room: int, free: int) -> int:
    """Tokens beside a turn's `room`, of those that are free, for what lasts about the owner."""
    return max(0, min(int(LASTING_PART * room), free - room))


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
    candidates: Sequence[Found],
    shown: Sequence[str],
    words: Collection[str],
    budget: int,
    count: Count,
    *,
    for_lasting: int = 0,
) -> Recalled:
    """The best passages, as many as fit, without what the prompt shows anyway. Where one does not fit
    its neighbour goes first, then what stands farthest from the words that matched.

    Args:
        candidates: best first.
        shown: texts the model sees: documents, history, the question.
        words: of the question, in lower case.
        budget: tokens for heading and passages.
        for_lasting: tokens beside these, for what lasts about the owner.
    """
    seen = _plain("\n".join(shown))
    left = budget - count(HEADING)
    lasting = _lasting([passage for passage in candidates if passage.lasting], seen, for_lasting, count)
    fitting = [passage for passage in candidates if not passage.lasting]
    uses: list[RecalledUse] = []
    for candidate in fitting:
        if len(uses) == MOST or candidate.score < LEAST_OF_BEST * fitting[0].score:
            break
        if _plain(_body(candidate)) in seen:
            continue
        for line in _lines(candidate, seen, words, with_neighbour=len(uses) < WITH_NEIGHBOUR):
            use = _use(candidate, line, count)
            if use.tokens <= left:
                left -= use.tokens
                uses.append(use)
                break
        else:
            break
    taken = {use.id for use in uses}
    return Recalled((*uses, *(use for use in lasting if use.id not in taken)))


def _lasting(candidates: Sequence[Found], seen: str, budget: int, count: Count) -> list[RecalledUse]:
    """Those that fit, in their order. What the prompt shows already takes its tokens too: else each turn of a
    conversation would bring the next ones."""
    uses = []
    for passage in candidates:
        use = _use(passage, next(_lines(passage, seen, (), with_neighbour=False)), count)
        if use.tokens > budget:
            break
        budget -= use.tokens
        if _plain(passage.text) not in seen:
            uses.append(use)
    return uses


def _use(passage: Found, line: str, count: Count) -> RecalledUse:
    return RecalledUse(
        source=passage.source,
        id=passage.item,
        at=passage.at or None,
        tokens=count(_BETWEEN + line),
        text=line,
    )


def _lines(passage: Found, seen: str, words: Collection[str], *, with_neighbour: bool) -> Iterator[str]:
    """One passage on one line, with who said it and when; shorter and shorter."""
    # Only the question's own project is recalled from, so its name would say nothing.
    name = passage.document.rpartition("/")[2]
    origin = f"[{', '.join(part for part in (passage.at[:10], passage.speaker or name) if part)}] "
    text, before = _plain(passage.text), _plain(passage.before)
    if with_neighbour and before and before not in seen:
        cut = before[:NEIGHBOUR_CHARS] + ("…" if len(before) > NEIGHBOUR_CHARS else "")
        yield f'{origin}{text} (after: "{cut}")'
    yield origin + text
    chars = len(text)
    while (chars := chars // 2) >= LEAST_CHARS:
        yield origin + excerpt(text, words, chars)


def _body(passage: Found) -> str:
    """Without the title a section was given for the index: the prompt has it as a heading."""
    return passage.text if passage.source == "message" else passage.text.partition("\n")[2] or passage.text


def _plain(text: str) -> str:
    return " ".join(text.split())

"""Who gets how many tokens of the window. Pure arithmetic; nothing here counts or cuts.

Everything is chosen so that the same conversation gets the same prompt prefix next turn and
on another device: limits come from the window and from what is stored, never from what was
sent before, and when something has to go, it goes in large steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DOCUMENT_WEIGHTS = {
    "PORTFOLIO_CONTEXT.md": 4,
    "PROJECT_CONTEXT.md": 4,
    "SESSION_BRIEFING.md": 3,
    "SESSION_LOG.md": 1,
}
"""Relative shares of the documents' part. The portfolio has what lasts about the owner, and project and
briefing say most about the work at hand; the log repeats what the briefing sums up, and search finds the rest."""

USUAL_ANSWER = 512
"""Tokens kept free for an answer without a limit: most are shorter, and one that is longer has what else is free."""
ANSWER_PART = 4
"""A default answer gets at most a quarter of the window; an explicit max_tokens what it asks for."""

SHRINK_STEPS = (1.0, 0.75, 0.5, 0.25, 0.125, 0.0)
"""Parts of the documents' share tried in order when a long message leaves less room. Few and
far apart, so that messages of similar length find the same prefix."""

_QUANTA = 16
"""Quantities that change from turn to turn are rounded to a sixteenth of the whole."""


@dataclass(frozen=True, slots=True)
class AnswerRoom:
    """Tokens kept free for the answer, and what was asked for where that was more."""

    max_new_tokens: int
    lowered_from: int | None = None


def least_answer(window: int) -> int:
    """The shortest answer worth starting when nobody said how long it shall be."""
    return max(1, min(64, window // 8))


def usual_answer(window: int, wanted: int) -> int:
    """Room for an answer of which nobody said how long it shall be."""
    return min(wanted, max(window // ANSWER_PART, 1))


def answer_room(window: int, wanted: int | None, *, explicit: bool, needed: int) -> AnswerRoom | None:
    """Room for the answer beside `needed` tokens that the prompt cannot do without.

    Args:
        window: context length in tokens.
        wanted: max_new_tokens of the request or the configuration; None: nobody set a limit.
        explicit: the request named it; then it is kept or refused, never lowered.
        needed: system text and new message, template included.

    Returns:
        None when it cannot fit.
    """
    free = window - needed
    if wanted is None:
        room = min(usual_answer(window, USUAL_ANSWER), free)
        return None if room < least_answer(window) else AnswerRoom(room)
    if explicit:
        return AnswerRoom(wanted) if wanted <= free else None
    room = min(usual_answer(window, wanted), free)
    if room < min(wanted, least_answer(window)):
        return None
    return AnswerRoom(room, wanted if room < wanted else None)


def shares(total: int, needs: Mapping[str, int], weights: Mapping[str, int]) -> dict[str, int]:
    """Tokens each document may use; what one does not need flows to the others.

    Needs are rounded up in steps before anything flows, so that a line added to one document
    does not move the cut of another. The sum never exceeds `total`.
    """
    step = max(1, total // _QUANTA)
    open_needs = {name: -(-need // step) * step for name, need in needs.items() if need > 0}
    given = dict.fromkeys(needs, 0)
    left = total
    while open_needs:
        weight = sum(weights.get(name, 1) for name in open_needs)
        fair = {name: left * weights.get(name, 1) // weight for name in open_needs}
        satisfied = [name for name, need in open_needs.items() if need <= fair[name]]
        if not satisfied:
            return given | fair
        for name in satisfied:
            given[name] = open_needs.pop(name)
            left -= given[name]
    return given


def rounded_up(tokens: int, window: int) -> int:
    """`tokens` rounded up to a sixteenth of the window."""
    step = max(1, window // _QUANTA)
    return -(-tokens // step) * step


def steady_start(costs: Sequence[int], budget: int, first_index: int = 0) -> int:
    """From which item on a growing list is kept, so that the choice seldom moves.

    Among the starts that keep at most `budget` and at least half of it, the one whose
    absolute index is divisible by the highest power of two wins. That needs no memory of the
    last turn, and the choice stays while the list grows by about half of what is kept.

    Args:
        costs: tokens of each item, oldest first.
        budget: tokens the kept ones may cost together.
        first_index: absolute index of `costs[0]` when older items were not even loaded.

    Returns:
        Position in `costs` of the first kept item; `len(costs)` when none fits.
    """
    earliest = _first_within(costs, budget)
    if earliest == 0 and first_index == 0:
        return 0
    latest = max(earliest, _last_at_least(costs, budget // 2))
    return max(range(earliest, latest + 1), key=lambda at: _evenness(first_index + at))


def _first_within(costs: Sequence[int], budget: int) -> int:
    left = budget
    for position in range(len(costs) - 1, -1, -1):
        left -= costs[position]
        if left < 0:
            return position + 1
    return 0


def _last_at_least(costs: Sequence[int], floor: int) -> int:
    """The last start that still keeps `floor` tokens; 0 when all together are fewer."""
    total = 0
    for position in range(len(costs) - 1, -1, -1):
        total += costs[position]
        if total >= floor:
            return position
    return 0


def _evenness(index: int) -> int:
    """How often 2 divides `index`; 0 itself counts as most even."""
    return 64 if index == 0 else (index & -index).bit_length() - 1

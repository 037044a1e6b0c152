"""Which turns of a conversation a prompt shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from shared_context.conversations.messages import Message

from orchestrator_core.prompt.budget import steady_start
from orchestrator_core.prompt.turns import Turn, turns_of


@dataclass(frozen=True, slots=True)
class KeptHistory:
    """The newest turns, oldest of them first.

    Args:
        dropped: messages that are not shown.
        tokens: of the turns, about: the template's share of each is estimated.
        left: those of the messages not shown that were loaded.
        reserved: tokens kept free for a summary of what is not shown.
    """

    turns: tuple[Turn, ...] = ()
    dropped: int = 0
    tokens: int = 0
    left: tuple[Message, ...] = ()
    reserved: int = 0

    @property
    def message_count(self) -> int:
        return sum(len(turn.messages) for turn in self.turns)


class ConversationHistory:
    """A conversation before its new message.

    Args:
        messages: oldest first; may lack the oldest.
        turns_before: how many turns there are in all; None: those in `messages`. Messages
            too old to be loaded are counted as two per turn.
        cost: tokens of one turn; asked from the newest on, only as far as the window reaches.
        window: context length; more tokens than that can never be kept.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        turns_before: int | None,
        cost: Callable[[Turn], int],
        window: int,
        zone: tzinfo | None = None,
    ) -> None:
        turns = turns_of(messages, zone)
        unloaded = max(0, (turns_before or 0) - len(turns))
        self._count = sum(len(turn.messages) for turn in turns) + 2 * unloaded
        costs: list[int] = []
        left = window
        for turn in reversed(turns):
            costs.append(cost(turn))
            left -= costs[-1]
            if left < 0:
                break
        self._costs = costs[::-1]
        self._turns = turns
        self._uncounted = len(turns) - len(costs)
        self._first_index = unloaded + self._uncounted

    def kept(self, budget: int, reserve: int = 0) -> KeptHistory:
        """The turns that cost at most `budget` tokens together; older ones go in large steps.

        Args:
            reserve: of the budget, for a summary in the place of what goes. Nothing is kept for one
                while all turns fit, or when it would take more than half of the budget.
        """
        if self._first_index == 0 and sum(self._costs) <= max(budget, 0):
            reserve = 0
        reserve = reserve if 2 * reserve <= budget else 0
        start = steady_start(self._costs, max(budget - reserve, 0), self._first_index)
        turns = tuple(self._turns[self._uncounted + start :])
        shown = sum(len(turn.messages) for turn in turns)
        left = tuple(message for turn in self._turns[: self._uncounted + start] for message in turn.stored)
        return KeptHistory(turns, self._count - shown, sum(self._costs[start:]), left, reserve)

    def none(self) -> KeptHistory:
        return KeptHistory((), self._count, 0)

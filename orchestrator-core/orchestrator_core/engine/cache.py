"""What the scheduler keeps in the KV cache: sequence numbers, finished sequences, the pinned prefix.

Knows who owns which cells and what may be dropped, but nothing of requests. Every change that llama.cpp has
to follow is written down in order, and handed out with `take_operations`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from orchestrator_core.engine.plan import EngineLimits, Fork, Release
from orchestrator_core.engine.prefix_tree import NO_MATCH, Match, PrefixTree


class SequenceCache:
    """Sequences in the cache. `limits` is looked at for cells, sharing and what may stay cached."""

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self.tree = PrefixTree()
        self.pinned: int | None = None
        self.pinned_tokens: list[int] = []
        self._free = list(reversed(range(limits.sequences)))
        self._finished: OrderedDict[int, int] = OrderedDict()
        """Least recently used first, with the step of their last use."""
        self._steps = 0
        self._operations: list[Fork | Release] = []

    @property
    def changed(self) -> bool:
        """Whether llama.cpp has something to follow."""
        return bool(self._operations)

    def take_operations(self) -> list[Fork | Release]:
        operations, self._operations = self._operations, []
        return operations

    def match(self, tokens: list[int], limit: int | None = None) -> Match:
        return self.tree.match(tokens, limit) if self._limits.sharing else NO_MATCH

    def start(self, match: Match) -> int:
        """A new sequence that begins with the match; its source counts as just used."""
        seq = self._free.pop()
        if match.seq is None:
            self.tree.add(seq)
            return seq
        if match.seq in self._finished:
            self._use(match.seq)
        self.tree.fork(match.seq, seq, match.length)
        self._operations.append(Fork(match.seq, seq, match.length))
        return seq

    def restore(self, tokens: list[int]) -> int:
        """A new sequence whose tokens the caller puts into the cache by other means."""
        seq = self.start(NO_MATCH)
        self.tree.append(seq, tokens)
        return seq

    def release(self, seq: int) -> None:
        """Forget a sequence at once."""
        self.tree.release(seq)
        self._finished.pop(seq, None)
        self._free.append(seq)
        self._operations.append(Release(seq))

    def keep(self, seq: int) -> None:
        """Cache a sequence that is no longer in work.

        Older ones are dropped when others hold all of them already, and beyond `max_cached` sequences.
        """
        if not self._limits.sharing or self._limits.idle_steps == 0:
            self.release(seq)
            return
        self._drop_repeated(self.tree.tokens(seq))
        self._use(seq)
        for finished in list(self._finished):
            if self.tree.exclusive(finished) == 0 or len(self._finished) > self._limits.max_cached:
                self.release(finished)

    def tick(self) -> None:
        """A step has been decoded: drop what has slowed down too many of them without being used."""
        self._steps += 1
        while self._finished:
            last_use = next(iter(self._finished.values()))
            if self._steps - last_use <= self._limits.idle_steps:
                break
            self._drop_oldest()

    def drop_finished(self) -> list[Release]:
        """Forget everything nobody works on. The operations are returned, not written down."""
        before = len(self._operations)
        while self._finished:
            self._drop_oldest()
        dropped = [operation for operation in self._operations[before:] if isinstance(operation, Release)]
        del self._operations[before:]
        return dropped

    def shrink(self, cells: int) -> bool:
        """Drop finished sequences until at most so many cells are in use; whether that succeeded."""
        while self.tree.cells > cells and self._finished:
            self._drop_oldest()
        return self.tree.cells <= cells

    def pin(self, seq: int, tokens: list[int]) -> None:
        """Pin this sequence instead of the old one, which stays cached like any finished one."""
        old, self.pinned, self.pinned_tokens = self.pinned, seq, list(tokens)
        if old is not None:
            self.keep(old)

    def release_pin(self) -> None:
        if self.pinned is not None:
            self.release(self.pinned)
            self.pinned, self.pinned_tokens = None, []

    def held(self, in_work: Collection[int]) -> set[int]:
        """Sequences that must stay: those in work, and the pin."""
        return {*in_work} if self.pinned is None else {*in_work, self.pinned}

    def _use(self, seq: int) -> None:
        self._finished[seq] = self._steps
        self._finished.move_to_end(seq)

    def _drop_repeated(self, tokens: list[int]) -> None:
        """Drop finished sequences that these tokens begin with: the same question asked again, say."""
        for finished in list(self._finished):
            length = self.tree.length(finished)
            if length <= len(tokens) and self.tree.tokens(finished) == tokens[:length]:
                self.release(finished)

    def _drop_oldest(self) -> None:
        self.release(next(iter(self._finished)))

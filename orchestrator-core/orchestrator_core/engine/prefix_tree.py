"""Which tokens lie in the KV cache, for which sequences, and how many cells that takes.

The tree mirrors llama.cpp's unified cache: one node is a run of cells, its owners are the
sequences that may see it. Sequences share a node only if one was forked from the other; two
that computed the same tokens apart from each other have cells of their own, and lie side by
side. Pure data: nothing here knows of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class _Node:
    __slots__ = ("children", "owners", "parent", "tokens")

    def __init__(self, tokens: list[int], parent: _Node | None, owners: set[int]) -> None:
        self.tokens = tokens
        self.parent = parent
        self.owners = owners
        self.children: list[_Node] = []


@dataclass(frozen=True, slots=True)
class Match:
    """The longest cached beginning of a prompt: its length and a sequence that holds it."""

    length: int
    seq: int | None


NO_MATCH = Match(0, None)


class PrefixTree:
    """Sequences by number; a sequence begins empty (`add`) or as the beginning of another (`fork`)."""

    def __init__(self) -> None:
        self._root = _Node([], None, set())
        self._ends: dict[int, _Node] = {}
        self._lengths: dict[int, int] = {}
        self.cells = 0
        """Cells in use; what several sequences share counts once."""

    def __contains__(self, seq: object) -> bool:
        return seq in self._ends

    @property
    def sequences(self) -> frozenset[int]:
        return frozenset(self._ends)

    def length(self, seq: int) -> int:
        """Tokens of the sequence."""
        return self._lengths[seq]

    def tokens(self, seq: int) -> list[int]:
        runs = [node.tokens for node in self._path(seq)]
        return [token for run in reversed(runs) for token in run]

    def add(self, seq: int) -> None:
        """A new, empty sequence."""
        if seq in self._ends:
            raise ValueError(f"sequence {seq} exists")
        self._ends[seq] = self._root
        self._lengths[seq] = 0

    def fork(self, source: int, seq: int, length: int) -> None:
        """A new sequence that shares the first `length` tokens of `source`."""
        if not 0 <= length <= self._lengths[source]:
            raise ValueError(f"sequence {source} has {self._lengths[source]} tokens, not {length}")
        self.add(seq)
        self._lengths[seq] = length
        node, end = self._ends[source], self._lengths[source]
        while end > length and end - len(node.tokens) >= length:
            end -= len(node.tokens)
            node = node.parent or self._root
        if end > length:
            node = self._split(node, len(node.tokens) - (end - length))
        self._ends[seq] = node
        while node is not self._root:
            node.owners.add(seq)
            node = node.parent or self._root

    def append(self, seq: int, tokens: Sequence[int]) -> None:
        """Tokens computed for this sequence: new cells that no other one sees."""
        if not tokens:
            return
        end = self._ends[seq]
        if end is self._root or len(end.owners) > 1 or end.children:
            child = _Node(list(tokens), end, {seq})
            end.children.append(child)
            self._ends[seq] = child
        else:
            end.tokens.extend(tokens)
        self._lengths[seq] += len(tokens)
        self.cells += len(tokens)

    def release(self, seq: int) -> int:
        """Forget the sequence; the number of cells that nobody owns any more."""
        node = self._ends.pop(seq)
        del self._lengths[seq]
        freed = 0
        while node is not self._root:
            parent = node.parent or self._root
            node.owners.discard(seq)
            if not node.owners:
                parent.children.remove(node)
                freed += len(node.tokens)
            else:
                self._join_only_child(node)
            node = parent
        self.cells -= freed
        return freed

    def match(self, tokens: Sequence[int], limit: int | None = None) -> Match:
        """The longest cached beginning of `tokens`, at most `limit` tokens of it."""
        limit = len(tokens) if limit is None else min(limit, len(tokens))
        best = NO_MATCH
        # Siblings may begin alike, so there can be several ways down.
        open_ends = [(self._root, 0)]
        while open_ends:
            node, depth = open_ends.pop()
            for child in node.children:
                if depth >= limit or child.tokens[0] != tokens[depth]:
                    continue
                common = common_prefix(child.tokens, tokens, depth, limit)
                if depth + common > best.length:
                    best = Match(depth + common, min(child.owners))
                if common == len(child.tokens):
                    open_ends.append((child, depth + common))
        return best

    def exclusive(self, seq: int) -> int:
        """Cells that releasing this sequence would free."""
        return sum(len(node.tokens) for node in self._path(seq) if len(node.owners) == 1)

    def cells_of(self, sequences: Iterable[int], also: Match = NO_MATCH) -> int:
        """Cells that at least one of these sequences owns, or that belong to the match."""
        nodes = {node for seq in sequences for node in self._path(seq)}
        total = sum(len(node.tokens) for node in nodes)
        if also.seq is None:
            return total
        depth = self._lengths[also.seq]
        for node in self._path(also.seq):
            start = depth - len(node.tokens)
            if node not in nodes and start < also.length:
                total += min(depth, also.length) - start
            depth = start
        return total

    def _path(self, seq: int) -> Iterable[_Node]:
        """The nodes of a sequence, last one first."""
        node = self._ends[seq]
        while node is not self._root:
            yield node
            node = node.parent or self._root

    def _split(self, node: _Node, offset: int) -> _Node:
        """Cut a node in two; the upper part is new, so that ends and children stay with the lower."""
        parent = node.parent or self._root
        upper = _Node(node.tokens[:offset], parent, set(node.owners))
        parent.children[parent.children.index(node)] = upper
        node.tokens = node.tokens[offset:]
        node.parent = upper
        upper.children.append(node)
        return upper

    def _join_only_child(self, node: _Node) -> None:
        """Undo a split that no sequence needs any more, so that the tree does not fray over time."""
        if len(node.children) != 1 or node.children[0].owners != node.owners:
            return
        child = node.children[0]
        node.tokens.extend(child.tokens)
        node.children = child.children
        for grandchild in node.children:
            grandchild.parent = node
        for seq in child.owners:
            if self._ends[seq] is child:
                self._ends[seq] = node


def common_prefix(run: Sequence[int], tokens: Sequence[int], start: int = 0, limit: int | None = None) -> int:
    """How many tokens of `run` equal those of `tokens` from `start` on, not looking beyond `limit`.

    Compares slices (at C speed) and halves only the one that differs.
    """
    end = len(tokens) if limit is None else min(limit, len(tokens))
    high = max(0, min(len(run), end - start))
    if run[:high] == tokens[start : start + high]:
        return high
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        if run[low:middle] == tokens[start + low : start + middle]:
            low = middle
        else:
            high = middle
    return low

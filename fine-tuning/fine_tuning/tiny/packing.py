"""Packs many short conversations behind one shared beginning into one training row.

The documents cost hundreds of tokens and a question a dozen, so a row holds one beginning
and as many conversations as fit. Each conversation sees the beginning and itself, never its
neighbours, and its positions continue the beginning's: for the model every one of them is
a prompt of its own.

    token     B B B B | a a a a a | b b b | c c c c
    position  0 1 2 3 | 4 5 6 7 8 | 4 5 6 | 4 5 6 7
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens of one conversation.

    Args:
        tokens: ids.
        learned: for each token, whether the model is to learn to predict it.
    """

    tokens: tuple[int, ...]
    learned: tuple[bool, ...]


@dataclass(slots=True)
class Row:
    """One beginning and the pieces behind it.

    Args:
        beginning: ids shared by all pieces, at least BOS.
        length: tokens the row may have.
        gap: positions left free between beginning and pieces, as if more text stood there.
    """

    beginning: Sequence[int]
    length: int
    gap: int = 0
    pieces: list[Piece] = field(default_factory=list)

    def room(self) -> int:
        """Tokens still free."""
        return self.length - len(self.beginning) - sum(len(piece.tokens) for piece in self.pieces)

    def add(self, piece: Piece) -> bool:
        """Append the piece if it fits."""
        if len(piece.tokens) > self.room():
            return False
        self.pieces.append(piece)
        return True


@dataclass(slots=True)
class Batch:
    """Rows as tensors: ids and positions [rows, length], mask [rows, 1, length, length] (True where
    a token may look), and the flat indices of tokens whose successor is learned, with that successor."""

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    predict_at: torch.Tensor
    targets: torch.Tensor


def to_batch(rows: Sequence[Row], pad: int) -> Batch:
    """Rows of one length as a batch; what stays free is filled with `pad`."""
    import torch

    length = rows[0].length
    ids = torch.full((len(rows), length), pad, dtype=torch.long)
    positions = torch.zeros_like(ids)
    owner = torch.full_like(ids, -1)
    predict_at: list[int] = []
    targets: list[int] = []
    for number, row in enumerate(rows):
        start = len(row.beginning)
        _put(ids[number], positions[number], owner[number], 0, row.beginning, 0, 0)
        for owned, piece in enumerate(row.pieces, start=1):
            _put(
                ids[number],
                positions[number],
                owner[number],
                start,
                piece.tokens,
                len(row.beginning) + row.gap,
                owned,
            )
            for i, learned in enumerate(piece.learned):
                if learned and i > 0:
                    predict_at.append(number * length + start + i - 1)
                    targets.append(piece.tokens[i])
            start += len(piece.tokens)
    same = owner[:, :, None] == owner[:, None, :]
    shared = (owner == 0)[:, None, :]
    mask = (same | shared) & torch.ones(length, length, dtype=torch.bool).tril()
    return Batch(
        ids,
        positions,
        mask[:, None],
        torch.tensor(predict_at, dtype=torch.long),
        torch.tensor(targets, dtype=torch.long),
    )


def _put(
    ids: Any, positions: Any, owner: Any, at: int, tokens: Sequence[int], first: int, owned: int
) -> None:
    import torch

    end = at + len(tokens)
    ids[at:end] = torch.tensor(tokens, dtype=torch.long)
    positions[at:end] = torch.arange(first, first + len(tokens))
    owner[at:end] = owned

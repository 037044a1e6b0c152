"""What the scheduler decides and the worker performs: one step of the engine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What there is to share out.

    Args:
        cells: KV cells of the unified cache.
        window: tokens that one prompt and its answer may have together.
        max_running: answers in work at once (prefilling or decoding).
        max_queue: requests that may wait beyond those.
        max_cached: finished sequences kept for their prefix.
        idle_steps: decoding steps after which one is dropped that nobody has used meanwhile. Without flash
            attention every cell costs time in every step, whoever owns it.
        sharing: whether sequences can be forked (not for recurrent models).
        min_share: tokens of common prefix below which nobody waits for another's prefill.
    """

    cells: int
    window: int
    max_running: int = 8
    max_queue: int = 64
    max_cached: int = 16
    idle_steps: int = 1 << 60
    sharing: bool = True
    min_share: int = 16

    @property
    def sequences(self) -> int:
        """Sequence numbers in use at most: running, cached, the pinned one, its successor
        and that one while it moves."""
        return self.max_running + self.max_cached + 3


@dataclass(frozen=True, slots=True)
class Request:
    """One answer asked for.

    Args:
        request_id: the caller's number.
        tokens: the whole prompt; not empty.
        max_new: tokens to sample at most.
    """

    request_id: int
    tokens: list[int]
    max_new: int


@dataclass(frozen=True, slots=True)
class Fork:
    """Let `seq` see the first `length` tokens of `source`."""

    source: int
    seq: int
    length: int


@dataclass(frozen=True, slots=True)
class Release:
    """Forget everything of `seq`."""

    seq: int


@dataclass(frozen=True, slots=True)
class SequencePiece:
    """Tokens of one sequence to compute in this step.

    Args:
        request_id: whose they are; None for what is prewarmed.
        seq: the sequence they extend.
        position: of the first of them.
        tokens: in order.
        wants_token: whether the last one's logits are needed, to sample what follows.
    """

    request_id: int | None
    seq: int
    position: int
    tokens: list[int]
    wants_token: bool


@dataclass(slots=True)
class BatchStep:
    """Memory operations in order, then one batch: running answers first, then prefill.

    `cancelled` names the requests that were taken out before.
    """

    cancelled: list[int] = field(default_factory=list)
    operations: list[Fork | Release] = field(default_factory=list)
    decode: list[SequencePiece] = field(default_factory=list)
    prefill: list[SequencePiece] = field(default_factory=list)

    @property
    def pieces(self) -> list[SequencePiece]:
        return self.decode + self.prefill

    @property
    def empty(self) -> bool:
        return not (self.decode or self.prefill)

    def halves(self) -> tuple[BatchStep, BatchStep] | None:
        """The same work in two steps, for when the batch does not fit; None for a single token."""
        if len(self.decode) + len(self.prefill) > 1:
            pieces = self.pieces
            middle = len(pieces) // 2
            return self._part(pieces[:middle]), self._part(pieces[middle:])
        if self.prefill and len(self.prefill[0].tokens) > 1:
            first, second = _halves(self.prefill[0])
            return BatchStep(prefill=[first]), BatchStep(prefill=[second])
        return None

    def _part(self, pieces: list[SequencePiece]) -> BatchStep:
        decoding = {id(piece) for piece in self.decode}
        return BatchStep(
            decode=[piece for piece in pieces if id(piece) in decoding],
            prefill=[piece for piece in pieces if id(piece) not in decoding],
        )


def _halves(piece: SequencePiece) -> tuple[SequencePiece, SequencePiece]:
    middle = len(piece.tokens) // 2
    return (
        replace(piece, tokens=piece.tokens[:middle], wants_token=False),
        replace(piece, tokens=piece.tokens[middle:], position=piece.position + middle),
    )


@dataclass(frozen=True, slots=True)
class Load:
    """A moment's figures. `used` cells are those that admission cannot take back, `ahead` the tokens
    still to be prewarmed."""

    running: int
    waiting: int
    used: int
    cached: int
    total: int
    prefilled: int
    ahead: int = 0

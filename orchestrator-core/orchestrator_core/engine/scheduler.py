"""Which tokens the engine computes next. Pure decisions: no model, no clock, no threads.

Rules, in the order in which they win:

1. every running answer decodes one token in every step;
2. what is left of the step (`chunk` tokens) is prefill, first come first served; a running answer
   therefore never waits longer than for one chunk;
3. a request is admitted when its turn to prefill comes, and forks the longest cached prefix at that
   moment. If another request is just computing more of the same prefix, it waits for that and lets
   others pass: what arrives together is computed once;
4. admission is by cells: a request gets in only if all its answer's cells can be granted, so no
   answer ever has to be thrown out. A request that finds no room blocks those behind it, so none
   starves. Room is made by dropping cached sequences, least recently used first, and the pinned
   prefix only when nothing else is running;
5. the prewarmed prefix is computed when there is no other prefill to do, and then pinned.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from orchestrator_core.engine.plan import Fork, Limits, Load, Piece, Release, Request, Step
from orchestrator_core.engine.prefix_tree import NO_MATCH, Match, PrefixTree, common_prefix
from orchestrator_core.errors import ContextLengthExceeded, Overloaded


@dataclass(slots=True)
class _Active:
    """A request that has a sequence."""

    request: Request
    seq: int
    cached: int
    length: int
    """Tokens of it that are in the cache."""
    next_token: int | None = None
    """Sampled, not yet computed; None while the prompt is being computed."""

    @property
    def prefilling(self) -> bool:
        return self.length < len(self.request.tokens)

    @property
    def still_needed(self) -> int:
        """Cells that this answer may still take. The last token sampled needs none."""
        return len(self.request.tokens) + self.request.max_new - 1 - self.length


@dataclass(slots=True)
class _Waiting:
    request: Request
    behind: int | None = None
    """The active request whose prefill this one waits for, up to `until` tokens."""
    until: int = 0


@dataclass(slots=True)
class _Prewarm:
    """The prefix that should be pinned."""

    tokens: list[int]
    seq: int | None = None
    length: int = 0


@dataclass(slots=True)
class Committed:
    """Outcome of a computed step: the prefix that is pinned now, if it just became so."""

    pinned: int | None = None


@dataclass(slots=True)
class _Memory:
    """Sequence numbers, and what is kept in the cache though nobody is working on it."""

    tree: PrefixTree
    free: list[int]
    cached: OrderedDict[int, None] = field(default_factory=OrderedDict)
    pinned: int | None = None
    pinned_tokens: list[int] = field(default_factory=list)


class Scheduler:
    """Holds the state and plans steps.

    The worker's loop is: `plan`, perform it, `commit`, then `advance` or `finish` for each request
    whose token was sampled. Not thread-safe; the worker holds one lock around each call.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.prefilled = 0
        """Prompt tokens computed since the start, prewarmed ones included."""
        self._waiting: list[_Waiting] = []
        self._active: dict[int, _Active] = {}
        self._cancelled: list[int] = []
        self._prewarm: _Prewarm | None = None
        self._asked_prewarm: list[int] | None = None
        self._memory = _Memory(PrefixTree(), list(range(limits.sequences)))
        self._operations: list[Fork | Release] = []

    # What the outside asks for

    def submit(self, request: Request) -> int:
        """Queue a request; how many tokens its answer may have, the window considered.

        Raises:
            ContextLengthExceeded: prompt and one token of answer do not fit the window.
            Overloaded: as many requests are waiting as may.
        """
        window = min(self.limits.window, self.limits.cells)
        if len(request.tokens) + 1 > window:
            raise ContextLengthExceeded(
                f"The prompt has {len(request.tokens)} tokens and must leave room for at least one more; "
                f"the window is {window} tokens.",
                hint="Shorten the message or the documents, or raise model.context_length.",
            )
        if len(self._active) + len(self._waiting) >= self.limits.max_running + self.limits.max_queue:
            raise Overloaded(
                f"{len(self._active)} answers are running and {len(self._waiting)} are waiting already."
            )
        most = max(1, min(request.max_new, window - len(request.tokens)))
        self._waiting.append(_Waiting(replace(request, max_new=most)))
        return most

    def prewarm(self, tokens: list[int]) -> None:
        """Compute this prefix when there is nothing better to do, and pin it instead of the old one."""
        if self.limits.sharing and 0 < len(tokens) <= min(self.limits.window, self.limits.cells):
            self._asked_prewarm = tokens

    def adopt(self, tokens: list[int]) -> int | None:
        """A sequence number under which the caller has restored these tokens; they become the pin.

        Call `release_pin` when the restoration fails. None when there is no room.
        """
        memory = self._memory
        if memory.tree.cells + len(tokens) > self.limits.cells or not self.limits.sharing:
            return None
        seq = memory.free.pop()
        memory.tree.add(seq)
        memory.tree.append(seq, tokens)
        self._pin(seq, tokens)
        return seq

    def _remove_cancelled(self) -> list[int]:
        cancelled, self._cancelled = self._cancelled, []
        removed = []
        for request_id in cancelled:
            if request_id in self._active:
                self.finish(request_id)
                removed.append(request_id)
            elif any(waiting.request.request_id == request_id for waiting in self._waiting):
                removed.append(request_id)
        self._waiting = [one for one in self._waiting if one.request.request_id not in removed]
        return removed

    def release_pin(self) -> None:
        if self._memory.pinned is not None:
            self._release(self._memory.pinned)
            self._memory.pinned = None
            self._memory.pinned_tokens = []

    def cancel(self, request_id: int) -> bool:
        """Stop a request: the next plan is without it and names it. False: it is not here (any more)."""
        known = request_id in self._active or any(
            waiting.request.request_id == request_id for waiting in self._waiting
        )
        if known and request_id not in self._cancelled:
            self._cancelled.append(request_id)
        return known

    # The worker's loop

    def plan(self, chunk: int) -> Step:
        """The next step, with at most `chunk` prompt tokens in it. Perform it, `commit` it, then plan again.

        Between the two, `submit`, `cancel` and `prewarm` may be called: they take effect in the next plan.
        """
        step = Step(cancelled=self._remove_cancelled())
        self._take_up_prewarm()
        prefilling: list[_Active] = []
        for active in self._active.values():
            if active.next_token is not None:
                piece = Piece(active.request.request_id, active.seq, active.length, [active.next_token], True)
                step.decode.append(piece)
            elif active.prefilling:
                prefilling.append(active)
        for active in prefilling:
            chunk -= self._prefill(step, active, chunk)
        if self._waiting and chunk > 0:
            chunk = self._admit(step, prefilling, chunk)
        if self._prewarm is not None and not step.prefill and not self._waiting:
            self._continue_prewarm(step, self._prewarm, chunk)
        step.operations, self._operations = self._operations, []
        return step

    def commit(self, step: Step) -> Committed:
        """The step has been computed: its tokens are in the cache."""
        for piece in step.decode:
            self._extend(self._active[_id(piece)], piece)
        for piece in step.prefill:
            self.prefilled += len(piece.tokens)
            if piece.request_id is not None:
                self._extend(self._active[piece.request_id], piece)
        return self._commit_prewarm(step)

    def advance(self, request_id: int, token: int) -> None:
        """The token sampled for this request; it is computed in the next step."""
        self._active[request_id].next_token = token

    def finish(self, request_id: int) -> None:
        """The answer is complete; its sequence stays cached until the room is needed."""
        active = self._active.pop(request_id)
        self._keep(active.seq)

    def cached_tokens(self, request_id: int) -> int:
        """Prompt tokens of an active request that came from the cache."""
        return self._active[request_id].cached

    def drop_cached(self) -> list[Release]:
        """Forget everything nobody is working on; for when the cache turned out fuller than known."""
        before = len(self._operations)
        while self._memory.cached:
            self._release(next(iter(self._memory.cached)))
        dropped = [op for op in self._operations[before:] if isinstance(op, Release)]
        del self._operations[before:]
        return dropped

    @property
    def busy(self) -> bool:
        """Whether a plan would have anything in it (memory operations included)."""
        return bool(self._active or self._waiting or self._prewarm or self._operations or self._asked_prewarm)

    @property
    def pinned(self) -> tuple[int, list[int]] | None:
        memory = self._memory
        return None if memory.pinned is None else (memory.pinned, memory.pinned_tokens)

    def load(self) -> Load:
        tree = self._memory.tree
        used = tree.cells_of(self._held())
        return Load(
            running=len(self._active),
            waiting=len(self._waiting),
            used=used,
            cached=tree.cells - used,
            total=self.limits.cells,
            prefilled=self.prefilled,
        )

    # Prefill and admission

    def _prefill(self, step: Step, active: _Active, budget: int) -> int:
        tokens = active.request.tokens[active.length : active.length + budget]
        if not tokens:
            return 0
        last = active.length + len(tokens) == len(active.request.tokens)
        step.prefill.append(Piece(active.request.request_id, active.seq, active.length, tokens, last))
        return len(tokens)

    def _admit(self, step: Step, prefilling: list[_Active], budget: int) -> int:
        """Admit waiting requests while there is prefill budget; the budget left."""
        remaining: list[_Waiting] = []
        for index, waiting in enumerate(self._waiting):
            if budget <= 0 or len(self._active) >= self.limits.max_running:
                remaining.extend(self._waiting[index:])
                break
            match = self._match(waiting.request.tokens)
            if self._should_wait(waiting, match, prefilling):
                remaining.append(waiting)
                continue
            active = self._enter(waiting.request, match)
            if active is None:
                remaining.extend(self._waiting[index:])
                break
            prefilling.append(active)
            budget -= self._prefill(step, active, budget)
        self._waiting = remaining
        return budget

    def _match(self, tokens: list[int]) -> Match:
        """All but the last token may come from the cache: its logits have to be computed."""
        return self._memory.tree.match(tokens, len(tokens) - 1) if self.limits.sharing else NO_MATCH

    def _should_wait(self, waiting: _Waiting, match: Match, prefilling: list[_Active]) -> bool:
        """Whether somebody is just computing a longer part of this prompt than the cache has."""
        if not self.limits.sharing:
            return False
        leader = self._active.get(waiting.behind) if waiting.behind is not None else None
        if leader is not None and leader.prefilling and match.length < waiting.until:
            return True
        waiting.behind, waiting.until = None, 0
        limit = len(waiting.request.tokens) - 1
        for active in prefilling:
            common = common_prefix(active.request.tokens, waiting.request.tokens, 0, limit)
            if common - match.length >= self.limits.min_share and common > waiting.until:
                waiting.behind, waiting.until = active.request.request_id, common
        return waiting.behind is not None

    def _enter(self, request: Request, match: Match) -> _Active | None:
        """Give the request a sequence and its cells, or None when there is no room now."""
        needed = len(request.tokens) - match.length + request.max_new - 1
        if not self._can_make_room(needed, match):
            return None
        seq = self._fork(match)
        self._make_room(needed)
        active = _Active(request, seq, cached=match.length, length=match.length)
        self._active[request.request_id] = active
        return active

    def _fork(self, match: Match) -> int:
        """A new sequence that begins with the match (its source counts as just used)."""
        memory = self._memory
        if match.seq is not None and match.seq in memory.cached:
            memory.cached.move_to_end(match.seq)
        seq = memory.free.pop()
        if match.seq is None:
            memory.tree.add(seq)
        else:
            memory.tree.fork(match.seq, seq, match.length)
            self._operations.append(Fork(match.seq, seq, match.length))
        return seq

    # Room

    def _promised(self) -> int:
        return sum(active.still_needed for active in self._active.values())

    def _held(self) -> set[int]:
        """Sequences that are not dropped to make room (the pin only when nothing is running)."""
        held = {active.seq for active in self._active.values()}
        if self._memory.pinned is not None:
            held.add(self._memory.pinned)
        return held

    def _can_make_room(self, needed: int, match: Match) -> bool:
        held = self._held()
        tree = self._memory.tree
        if tree.cells_of(held, match) + self._promised() + needed <= self.limits.cells:
            return True
        # The pin alone is in the way, and waiting would not help: it can be computed again.
        return not self._active

    def _make_room(self, needed: int) -> None:
        """Drop what is not in work until `needed` more cells are free. Only after `_can_make_room`."""
        memory = self._memory
        limit = self.limits.cells - self._promised() - needed
        if memory.tree.cells > limit and self._prewarm is not None and self._prewarm.seq is not None:
            self._restart_prewarm(self._prewarm)
        while memory.tree.cells > limit and memory.cached:
            self._release(next(iter(memory.cached)))
        if memory.tree.cells > limit and memory.pinned is not None:
            tokens = memory.pinned_tokens
            self.release_pin()
            if self._prewarm is None:
                self._prewarm = _Prewarm(tokens)

    def _release(self, seq: int) -> None:
        memory = self._memory
        memory.tree.release(seq)
        memory.cached.pop(seq, None)
        memory.free.append(seq)
        self._operations.append(Release(seq))

    def _keep(self, seq: int) -> None:
        """Cache a sequence that is no longer in work, unless another one already holds all of it."""
        memory = self._memory
        if not self.limits.sharing or memory.tree.length(seq) == 0:
            self._release(seq)
            return
        memory.cached[seq] = None
        for cached in list(memory.cached):
            if memory.tree.exclusive(cached) == 0 or len(memory.cached) > self.limits.max_cached:
                self._release(cached)

    # The pinned prefix

    def _continue_prewarm(self, step: Step, prewarm: _Prewarm, budget: int) -> None:
        match = self._memory.tree.match(prewarm.tokens)
        if prewarm.seq is None or match.length > prewarm.length:
            # Somebody else computed it meanwhile, or it has just begun.
            if prewarm.seq is not None and match.seq != prewarm.seq:
                self._release(prewarm.seq)
            if match.seq != prewarm.seq or prewarm.seq is None:
                prewarm.seq = self._fork(match)
                prewarm.length = match.length
        assert prewarm.seq is not None
        tokens = prewarm.tokens[prewarm.length : prewarm.length + budget]
        if tokens and self._room_for_prewarm(prewarm.seq, len(tokens)):
            step.prefill.append(Piece(None, prewarm.seq, prewarm.length, tokens, False))

    def _room_for_prewarm(self, seq: int, needed: int) -> bool:
        """Make room without touching what is in work; the old pin goes last, it is about to be replaced."""
        memory = self._memory
        limit = self.limits.cells - self._promised() - needed
        in_work = {active.seq for active in self._active.values()} | {seq}
        if memory.tree.cells_of(in_work) > limit:
            return False
        while memory.tree.cells > limit and memory.cached:
            self._release(next(iter(memory.cached)))
        if memory.tree.cells > limit:
            self.release_pin()
        return True

    def _commit_prewarm(self, step: Step) -> Committed:
        prewarm = self._prewarm
        if prewarm is None or prewarm.seq is None:
            return Committed()
        for piece in step.prefill:
            if piece.request_id is None:
                self._memory.tree.append(prewarm.seq, piece.tokens)
                prewarm.length += len(piece.tokens)
        if prewarm.length < len(prewarm.tokens):
            return Committed()
        self._prewarm = None
        old = self._memory.pinned
        self._pin(prewarm.seq, prewarm.tokens)
        if old is not None:
            self._keep(old)
        return Committed(pinned=prewarm.seq)

    def _pin(self, seq: int, tokens: list[int]) -> None:
        self._memory.pinned = seq
        self._memory.pinned_tokens = list(tokens)

    def _take_up_prewarm(self) -> None:
        """Turn to the prefix asked for last; what was computed of an older one stays cached."""
        tokens, self._asked_prewarm = self._asked_prewarm, None
        if tokens is None or (self._prewarm is not None and self._prewarm.tokens == tokens):
            return
        if self._prewarm is not None and self._prewarm.seq is not None:
            self._keep(self._prewarm.seq)
        pinned = self._memory.pinned is not None and self._memory.pinned_tokens == tokens
        self._prewarm = None if pinned else _Prewarm(tokens)

    def _restart_prewarm(self, prewarm: _Prewarm) -> None:
        assert prewarm.seq is not None
        self._release(prewarm.seq)
        prewarm.seq, prewarm.length = None, 0

    def _extend(self, active: _Active, piece: Piece) -> None:
        self._memory.tree.append(active.seq, piece.tokens)
        active.length += len(piece.tokens)
        active.next_token = None


def _id(piece: Piece) -> int:
    assert piece.request_id is not None
    return piece.request_id

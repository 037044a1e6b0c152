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
   starves. Room is made by dropping finished sequences, least recently used first, and the pinned
   prefix only when nothing else is running;
5. the prewarmed prefix is computed when there is no other prefill to do, and then pinned. After it
   comes what may follow it (the conversation that is going on), which is kept like a finished one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orchestrator_core.engine.cache import SequenceCache
from orchestrator_core.engine.plan import BatchStep, EngineLimits, Load, Release, Request, SequencePiece
from orchestrator_core.engine.prefix_tree import Match, common_prefix
from orchestrator_core.errors import ContextLengthExceeded, Overloaded


@dataclass(slots=True)
class _Active:
    """A request that has a sequence."""

    request: Request
    seq: int
    cached: int
    """Prompt tokens that came from the cache."""
    length: int
    """Tokens of it that are in the cache now."""
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
    """What is computed ahead of any question, and how far it is."""

    tokens: list[int]
    follows: list[int] = field(default_factory=list)
    """What to compute next, as a whole prompt."""
    pins: bool = True
    """False: kept like a finished conversation, and given up when there is no room."""
    seq: int | None = None
    length: int = 0

    @property
    def left(self) -> int:
        """Tokens still to compute, what is cached of them not considered."""
        return max(len(self.tokens), len(self.follows)) - self.length


class Scheduler:
    """Holds the state and plans steps.

    The worker's loop is: `plan`, perform it, `commit`, then `advance` or `finish` for each request
    whose token was sampled. Between `plan` and `commit`, `submit`, `cancel` and `prewarm` may be called:
    they take effect in the next plan. Not thread-safe.
    """

    def __init__(self, limits: EngineLimits) -> None:
        self.limits = limits
        self.prefilled = 0
        """Prompt tokens computed since the start, prewarmed ones included."""
        self._cache = SequenceCache(limits)
        self._waiting: list[_Waiting] = []
        self._active: dict[int, _Active] = {}
        self._cancelled: list[int] = []
        self._prewarm: _Prewarm | None = None
        self._asked_prewarm: _Prewarm | None = None

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

    def cancel(self, request_id: int) -> bool:
        """Stop a request: the next plan is without it and names it. False: it is not here (any more)."""
        known = request_id in self._active or any(
            waiting.request.request_id == request_id for waiting in self._waiting
        )
        if known and request_id not in self._cancelled:
            self._cancelled.append(request_id)
        return known

    def prewarm(self, tokens: list[int], follows: Sequence[int] = ()) -> None:
        """Compute this prefix when there is nothing better to do, and pin it instead of the old one.

        Args:
            follows: a whole prompt to compute after that, and to cache without pinning it.
        """
        most = min(self.limits.window, self.limits.cells)
        if self.limits.sharing and 0 < len(tokens) <= most:
            self._asked_prewarm = _Prewarm(tokens, list(follows) if len(follows) <= most else [])

    def restore_pin(self, tokens: list[int]) -> int | None:
        """A sequence number under which the caller restores these tokens; they become the pin.

        Call `release_pin` when the restoration fails. None when there is no room.
        """
        if not self.limits.sharing or self._cache.tree.cells + len(tokens) > self.limits.cells:
            return None
        seq = self._cache.restore(tokens)
        self._cache.pin(seq, tokens)
        return seq

    def release_pin(self) -> None:
        self._cache.release_pin()

    # The worker's loop

    def plan(self, chunk: int) -> BatchStep:
        """The next step, with at most `chunk` prompt tokens in it."""
        step = BatchStep(cancelled=self._remove_cancelled())
        self._take_up_prewarm()
        prefilling: list[_Active] = []
        for active in self._active.values():
            if active.next_token is not None:
                request_id = active.request.request_id
                step.decode.append(
                    SequencePiece(request_id, active.seq, active.length, [active.next_token], True)
                )
            elif active.prefilling:
                prefilling.append(active)
        for active in prefilling:
            chunk -= self._prefill(step, active, chunk)
        if self._waiting and (prefilling or len(self._active) < self.limits.max_running):
            chunk = self._admit(step, prefilling, chunk)
        if self._prewarm is not None and not step.prefill and not self._waiting:
            self._continue_prewarm(step, self._prewarm, chunk)
        step.operations = self._cache.take_operations()
        return step

    def commit(self, step: BatchStep) -> int | None:
        """The step has been computed: its tokens are in the cache.

        Returns:
            The pinned sequence, if it has just become complete.
        """
        for piece in step.decode:
            self._extend(piece)
        if step.decode:
            self._cache.tick()
        for piece in step.prefill:
            self.prefilled += len(piece.tokens)
            self._extend(piece)
        prewarm = self._prewarm
        if prewarm is None or prewarm.seq is None or prewarm.length < len(prewarm.tokens):
            return None
        self._prewarm = self._next_prewarm(prewarm)
        if not prewarm.pins:
            self._cache.keep(prewarm.seq)
            return None
        self._cache.pin(prewarm.seq, prewarm.tokens)
        return prewarm.seq

    def advance(self, request_id: int, token: int) -> None:
        """The token sampled for this request; it is computed in the next step."""
        self._active[request_id].next_token = token

    def finish(self, request_id: int) -> None:
        """The answer is complete; its sequence stays cached until the room is needed."""
        self._cache.keep(self._active.pop(request_id).seq)

    def cached_tokens(self, request_id: int) -> int:
        """Prompt tokens of an active request that came from the cache."""
        return self._active[request_id].cached

    def drop_cached(self) -> list[Release]:
        """Forget everything nobody is working on; for when the cache turned out fuller than known."""
        return self._cache.drop_finished()

    @property
    def busy(self) -> bool:
        """Whether a plan would have anything in it (memory operations included)."""
        work = self._active or self._waiting or self._prewarm or self._asked_prewarm
        return bool(work) or self._cache.changed

    @property
    def decoding(self) -> bool:
        """Whether an answer is running that a long step would hold up."""
        return any(active.next_token is not None for active in self._active.values())

    @property
    def pinned(self) -> tuple[int, list[int]] | None:
        cache = self._cache
        return None if cache.pinned is None else (cache.pinned, cache.pinned_tokens)

    def load(self) -> Load:
        tree = self._cache.tree
        used = tree.cells_of(self._cache.held(self._in_work()))
        return Load(
            running=len(self._active),
            waiting=len(self._waiting),
            used=used,
            cached=tree.cells - used,
            total=self.limits.cells,
            prefilled=self.prefilled,
            ahead=sum(
                prewarm.left for prewarm in (self._prewarm, self._asked_prewarm) if prewarm is not None
            ),
        )

    # Requests

    def _prefill(self, step: BatchStep, active: _Active, budget: int) -> int:
        tokens = active.request.tokens[active.length : active.length + budget]
        if not tokens:
            return 0
        last = active.length + len(tokens) == len(active.request.tokens)
        step.prefill.append(SequencePiece(active.request.request_id, active.seq, active.length, tokens, last))
        return len(tokens)

    def _admit(self, step: BatchStep, prefilling: list[_Active], budget: int) -> int:
        """Admit waiting requests while there is prefill budget; the budget left.

        Those that find none are still told whom to wait for: later, when the leader is almost done,
        it would no longer seem worth it.
        """
        remaining: list[_Waiting] = []
        blocked = False
        for waiting in self._waiting:
            # The last token is always computed: its logits begin the answer.
            match = self._cache.match(waiting.request.tokens, len(waiting.request.tokens) - 1)
            blocked = blocked or budget <= 0 or len(self._active) >= self.limits.max_running
            if self._should_wait(waiting, match, prefilling) or blocked:
                remaining.append(waiting)
                continue
            active = self._enter(waiting.request, match)
            if active is None:
                blocked = True
                remaining.append(waiting)
                continue
            prefilling.append(active)
            budget -= self._prefill(step, active, budget)
        self._waiting = remaining
        return budget

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
        seq = self._cache.start(match)
        self._make_room(needed)
        active = _Active(request, seq, cached=match.length, length=match.length)
        self._active[request.request_id] = active
        return active

    def _remove_cancelled(self) -> list[int]:
        asked, self._cancelled = self._cancelled, []
        removed = []
        for request_id in asked:
            if request_id in self._active:
                self.finish(request_id)
                removed.append(request_id)
            elif any(waiting.request.request_id == request_id for waiting in self._waiting):
                removed.append(request_id)
        self._waiting = [waiting for waiting in self._waiting if waiting.request.request_id not in removed]
        return removed

    def _extend(self, piece: SequencePiece) -> None:
        self._cache.tree.append(piece.seq, piece.tokens)
        if piece.request_id is None:
            assert self._prewarm is not None
            self._prewarm.length += len(piece.tokens)
        else:
            active = self._active[piece.request_id]
            active.length += len(piece.tokens)
            active.next_token = None

    # Room

    def _in_work(self) -> set[int]:
        return {active.seq for active in self._active.values()}

    def _promised(self) -> int:
        return sum(active.still_needed for active in self._active.values())

    def _can_make_room(self, needed: int, match: Match) -> bool:
        held = self._cache.held(self._in_work())
        if self._cache.tree.cells_of(held, match) + self._promised() + needed <= self.limits.cells:
            return True
        # The pin alone is in the way, and waiting would not help: it can be computed again.
        return not self._active

    def _make_room(self, needed: int) -> None:
        """Drop what is not in work until `needed` more cells are free. Only after `_can_make_room`."""
        limit = self.limits.cells - self._promised() - needed
        prewarm = self._prewarm
        if self._cache.shrink(limit):
            return
        if prewarm is not None and prewarm.seq is not None:
            self._cache.release(prewarm.seq)
            prewarm.seq, prewarm.length = None, 0
        if prewarm is not None and not prewarm.pins:
            prewarm = self._prewarm = None
        if self._cache.tree.cells > limit:
            self._prewarm = prewarm or _Prewarm(self._cache.pinned_tokens)
            self._cache.release_pin()

    # The pinned prefix

    def _take_up_prewarm(self) -> None:
        """Turn to the prefix asked for last; what was computed of an older one stays cached."""
        asked, self._asked_prewarm = self._asked_prewarm, None
        if asked is None:
            return
        if self._cache.pinned is not None and self._cache.pinned_tokens == asked.tokens:
            asked = self._next_prewarm(asked)
        under_way = self._prewarm
        if under_way is not None and asked is not None and under_way.tokens == asked.tokens:
            under_way.follows = asked.follows
            return
        if under_way is not None and under_way.seq is not None:
            self._cache.keep(under_way.seq)
        self._prewarm = asked

    def _next_prewarm(self, done: _Prewarm) -> _Prewarm | None:
        """What follows the prefix; None when there is nothing, or all of it is cached."""
        if self._cache.match(done.follows).length == len(done.follows):
            return None
        return _Prewarm(done.follows, pins=False)

    def _continue_prewarm(self, step: BatchStep, prewarm: _Prewarm, budget: int) -> None:
        match = self._cache.match(prewarm.tokens)
        if prewarm.seq is None or match.length > prewarm.length:
            # It has not begun, or somebody else has computed more of it meanwhile.
            outdated = prewarm.seq
            prewarm.seq, prewarm.length = self._cache.start(match), match.length
            if outdated is not None:
                self._cache.release(outdated)
        tokens = prewarm.tokens[prewarm.length : prewarm.length + budget]
        if not tokens:
            return
        if self._room_for_prewarm(prewarm, prewarm.seq, len(tokens)):
            step.prefill.append(SequencePiece(None, prewarm.seq, prewarm.length, tokens, False))
        elif not prewarm.pins:
            self._cache.keep(prewarm.seq)
            self._prewarm = None

    def _room_for_prewarm(self, prewarm: _Prewarm, seq: int, needed: int) -> bool:
        """Make room without touching what is in work; the old pin goes last, and only for its successor."""
        limit = self.limits.cells - self._promised() - needed
        held = self._in_work() if prewarm.pins else self._cache.held(self._in_work())
        if self._cache.tree.cells_of(held | {seq}) > limit:
            return False
        if not self._cache.shrink(limit):
            self._cache.release_pin()
        return True

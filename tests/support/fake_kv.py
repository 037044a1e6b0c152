"""A KV cache on paper: performs the scheduler's steps as llama.cpp would, and checks each of them."""

from __future__ import annotations

from collections import Counter

from orchestrator_core.engine.plan import BatchStep, EngineLimits, Fork, Request
from orchestrator_core.engine.scheduler import Scheduler

DOCUMENTS = list(range(100, 300))
"""A prefix of 200 tokens."""


class FakeKv:
    """Cells are objects, shared between sequences after a fork.

    Args:
        answers: how many tokens each request gives before it ends by itself; others run to their limit.
    """

    def __init__(self, scheduler: Scheduler, answers: dict[int, int] | None = None) -> None:
        self.scheduler = scheduler
        self.answers = answers or {}
        self.sequences: dict[int, list[tuple[int, object]]] = {}
        self.requests: dict[int, Request] = {}
        self.computed: Counter[int] = Counter()
        """Prompt tokens computed, by request."""
        self.sampled: dict[int, list[int]] = {}
        self.cached: dict[int, int] = {}
        self.finished: list[int] = []
        self.cancelled: list[int] = []
        self.pinned: list[int] = []
        self.steps: list[BatchStep] = []

    def submit(self, request: Request) -> None:
        most = self.scheduler.submit(request)
        self.requests[request.request_id] = Request(request.request_id, request.tokens, most)

    @property
    def cells(self) -> int:
        return len({id(cell) for cells in self.sequences.values() for _, cell in cells})

    def tokens(self, seq: int) -> list[int]:
        return [token for token, _ in self.sequences[seq]]

    def run(self, chunk: int = 16, most: int = 10_000) -> None:
        """Step until nothing is left to do."""
        for _ in range(most):
            if not self.scheduler.busy:
                return
            self.step(chunk)
        raise AssertionError("the scheduler does not come to an end")

    def step(self, chunk: int = 16) -> BatchStep:
        step = self.begin(chunk)
        self.end(step)
        return step

    def begin(self, chunk: int) -> BatchStep:
        decoding = {
            request_id
            for request_id, tokens in self.sampled.items()
            if tokens and request_id not in self.finished and request_id not in self.cancelled
        }
        step = self.scheduler.plan(chunk)
        self.cancelled += step.cancelled
        waiting = decoding - set(step.cancelled)
        assert waiting == {piece.request_id for piece in step.decode}, "a running answer was left out"
        assert sum(len(piece.tokens) for piece in step.prefill) <= chunk
        self._operate(step)
        load = self.scheduler.load()
        assert load.used + load.cached == self.cells, "the scheduler's count differs from the cells"
        return step

    def end(self, step: BatchStep) -> None:
        for piece in step.pieces:
            cells = self.sequences.setdefault(piece.seq, [])
            assert piece.position == len(cells), "tokens must follow on what the sequence has"
            if piece.request_id is not None and piece.position < len(self._prompt(piece.request_id)):
                self.cached.setdefault(piece.request_id, piece.position)
                self.computed[piece.request_id] += len(piece.tokens)
            cells += [(token, object()) for token in piece.tokens]
        assert self.cells <= self.scheduler.limits.cells, "over capacity"
        pinned = self.scheduler.commit(step)
        if pinned is not None:
            self.pinned = self.tokens(pinned)
        for piece in step.pieces:
            if piece.wants_token:
                assert piece.request_id is not None
                self._sample(piece.request_id, piece.seq)
        self.steps.append(step)

    def _sample(self, request_id: int, seq: int) -> None:
        request = self.requests[request_id]
        answer = self.sampled.setdefault(request_id, [])
        assert self.tokens(seq) == request.tokens + answer, "the sequence is not what was asked"
        answer.append(1_000_000 + request_id * 1000 + len(answer))
        if not answer[1:]:
            assert self.scheduler.cached_tokens(request_id) == self.cached[request_id]
        if len(answer) >= min(request.max_new, self.answers.get(request_id, request.max_new)):
            self.scheduler.finish(request_id)
            self.finished.append(request_id)
        else:
            self.scheduler.advance(request_id, answer[-1])

    def _prompt(self, request_id: int) -> list[int]:
        return self.requests[request_id].tokens

    def _operate(self, step: BatchStep) -> None:
        for operation in step.operations:
            if isinstance(operation, Fork):
                assert not self.sequences.get(operation.seq), "forked into a sequence in use"
                source = self.sequences[operation.source]
                assert 0 < operation.length <= len(source)
                self.sequences[operation.seq] = source[: operation.length]
            else:
                self.sequences.pop(operation.seq, None)


def engine(**limits: int | bool) -> FakeKv:
    return FakeKv(Scheduler(EngineLimits(**{"cells": 2000, "window": 1000, **limits})))


def question(number: int, length: int = 10) -> list[int]:
    return [5000 + number * 100 + index for index in range(length)]

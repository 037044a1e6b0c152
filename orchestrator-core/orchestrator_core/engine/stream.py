"""Text of one answer on its way from the engine process to whoever reads it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue

from orchestrator_core.backend import FinishReason, Token, Usage
from orchestrator_core.errors import OrchestratorError

MAX_PENDING = 256
"""Unread tokens kept apart. Beyond that they are joined, so a reader who is slow, or gone, holds up nobody
and costs no more than the text itself."""


class AnswerStream:
    """Filled by the thread that listens to the engine, read by one other.

    Args:
        request_id: the number under which the engine knows it.
        on_cancel: tells the engine to stop; called once at most, never after the end.
    """

    def __init__(self, request_id: int, on_cancel: Callable[[int], None]) -> None:
        self.request_id = request_id
        self.usage = Usage()
        self.finish_reason: FinishReason | None = None
        self._on_cancel = on_cancel
        # A SimpleQueue costs a fraction of a condition, and this is passed once per token.
        self._pending: SimpleQueue[Token | None] = SimpleQueue()
        self._joined: Token | None = None
        self._final: tuple[FinishReason, Usage] | OrchestratorError | None = None
        self._seen_end = False
        self._ending = threading.Lock()

    # The engine's side

    def begin(self, *, prompt_tokens: int | None = None, cached_tokens: int | None = None) -> None:
        if prompt_tokens is not None:
            self.usage = replace(self.usage, prompt_tokens=prompt_tokens)
        if cached_tokens is not None:
            self.usage = replace(self.usage, cached_tokens=cached_tokens)

    def put(self, token: Token) -> None:
        if self._joined is not None:
            joined = self._joined
            token = Token(
                joined.text + token.text,
                joined.count + token.count,
                logprobs=joined.logprobs + token.logprobs,
            )
            self._joined = None
        if self._pending.qsize() < MAX_PENDING:
            self._pending.put(token)
        else:
            self._joined = token

    def finish(self, reason: FinishReason, usage: Usage) -> None:
        self._end((reason, usage))

    def fail(self, error: OrchestratorError) -> None:
        self._end(error)

    # The reader's side

    def read(self) -> Token | None:
        """The next token; None at the end.

        Raises:
            OrchestratorError: the answer failed; once everything before that was read.
        """
        if self.finish_reason is None:
            token = self._pending.get()
            if token is not None and self.finish_reason is None:
                known = self.usage
                self.usage = Usage(
                    known.prompt_tokens, known.completion_tokens + token.count, known.cached_tokens
                )
                return token
            self._settle()
        return None

    def cancel(self) -> None:
        """End at once for the reader; unread text is dropped. Does nothing once the reader saw the end."""
        with self._ending:
            if self._seen_end:
                return
            over = self._final is not None
            self._final = (FinishReason.CANCELLED, self.usage)
            self.finish_reason, self._seen_end = FinishReason.CANCELLED, True
        self._pending.put(None)
        if not over:
            self._on_cancel(self.request_id)

    def _end(self, final: tuple[FinishReason, Usage] | OrchestratorError) -> None:
        with self._ending:
            if self._final is not None:
                return
            self._final = final
        if self._joined is not None:
            self._pending.put(self._joined)
        self._pending.put(None)

    def _settle(self) -> None:
        """The reader has come to the end: tell what it was."""
        with self._ending:
            self._seen_end = True
            final = self._final
        if isinstance(final, OrchestratorError):
            self._pending.put(None)  # Whoever reads on is told again.
            raise final
        if self.finish_reason is None and final is not None:
            self.finish_reason, self.usage = final

"""Text of one answer on its way from the engine process to whoever reads it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from orchestrator_core.backends.base import FinishReason, Token, Usage
from orchestrator_core.errors import OrchestratorError

MAX_PENDING = 256
"""Unread tokens kept apart. Beyond that they are joined to the last one, so a reader who is slow, or
gone, holds up nobody and costs no more than the text itself."""


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
        self._pending: deque[Token] = deque()
        self._error: OrchestratorError | None = None
        self._ended = False
        self._changed = threading.Condition()

    # The engine's side

    def begin(self, *, prompt_tokens: int | None = None, cached_tokens: int | None = None) -> None:
        with self._changed:
            known = self.usage
            self.usage = Usage(
                known.prompt_tokens if prompt_tokens is None else prompt_tokens,
                known.completion_tokens,
                known.cached_tokens if cached_tokens is None else cached_tokens,
            )

    def put(self, token: Token) -> None:
        with self._changed:
            if self._ended:
                return
            if len(self._pending) >= MAX_PENDING:
                last = self._pending.pop()
                token = Token(last.text + token.text, last.count + token.count)
            self._pending.append(token)
            self._changed.notify_all()

    def finish(self, reason: FinishReason, usage: Usage) -> None:
        with self._changed:
            if not self._ended:
                self.usage, self.finish_reason, self._ended = usage, reason, True
                self._changed.notify_all()

    def fail(self, error: OrchestratorError) -> None:
        with self._changed:
            if not self._ended:
                self._error, self._ended = error, True
                self._changed.notify_all()

    # The reader's side

    def read(self) -> Token | None:
        """The next token; None at the end.

        Raises:
            OrchestratorError: the answer failed; once everything before that was read.
        """
        with self._changed:
            while not self._pending and not self._ended:
                self._changed.wait()
            if self._pending:
                return self._taken(self._pending.popleft())
            if self._error is not None:
                raise self._error
            return None

    def cancel(self) -> None:
        """End at once for the reader; unread text is dropped. Does nothing after the end."""
        with self._changed:
            if self._ended:
                return
            self._ended, self.finish_reason = True, FinishReason.CANCELLED
            self._pending.clear()
            self._changed.notify_all()
        self._on_cancel(self.request_id)

    def _taken(self, token: Token) -> Token:
        """Until the engine reports the exact figure at the end, usage counts what was read."""
        if not self._ended:
            self.usage = Usage(
                self.usage.prompt_tokens,
                self.usage.completion_tokens + token.count,
                self.usage.cached_tokens,
            )
        return token

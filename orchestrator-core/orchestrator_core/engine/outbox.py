"""What the engine process tells the server, put together so that it is not woken more often than is useful."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

FLUSH_S = 0.016
"""Tokens that follow each other faster than this leave together: once per frame of a 60 Hz screen."""

PULSE_S = 5.0
"""Who works long without a result gives a sign of life so often, so that it is not taken for hanging."""

Send = Callable[[dict[str, Any]], None]


class ReplyQueue:
    """Collects what the server has to be told. Ends and first tokens leave at once, further tokens every FLUSH_S:
    each message wakes the server's process, which on a small machine takes the processor from the model.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sent_at = 0.0
        self._clear()

    def _clear(self) -> None:
        self.begun: list[list[int]] = []
        self.tokens: list[list[Any]] = []
        self.done: list[list[Any]] = []

    def send_if_due(self) -> None:
        if self.begun or self.done or time.perf_counter() - self._sent_at >= FLUSH_S:
            self.send()

    def pulse_if_due(self) -> None:
        if time.perf_counter() - self._sent_at >= PULSE_S:
            self.send()
            self._send({"ev": "pulse"})

    def send(self) -> None:
        if self.begun or self.tokens or self.done:
            self._send({"ev": "step", "begun": self.begun, "tokens": self.tokens, "done": self.done})
            self._clear()
        self._sent_at = time.perf_counter()

"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 60.0
"""So long only where something is broken: machines that run tests may be slow."""


def wait_until(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """
    Raises:
        AssertionError: the condition did not come true in time.
    """
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, f"it did not come true within {timeout_s:g} s"
        time.sleep(0.01)

"""A decision together with its reason, for logs, receipts and /model/info."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """What was chosen, and why, in words for people."""

    value: T
    reason: str

"""Bodies of `/sync`. The memory room defines and validates them, for it speaks them without HTTP too."""

from __future__ import annotations

from pydantic import BaseModel, Field
from shared_context.exchange.wire import SyncAnswer, SyncRequest

__all__ = ["ChangeNotice", "SyncAnswer", "SyncRequest"]


class ChangeNotice(BaseModel):
    """An event of `/sync/events`."""

    replica: str
    state: str = Field(description="Another one whenever the memory changed; equal: nothing is new.")

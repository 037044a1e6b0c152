from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_context.conversations.store import ConversationStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    with ConversationStore.open(tmp_path / "memory.db") as store:
        yield store


@pytest.fixture
def other(tmp_path: Path) -> Iterator[ConversationStore]:
    """The store of another replica."""
    with ConversationStore.open(tmp_path / "other.db") as store:
        yield store

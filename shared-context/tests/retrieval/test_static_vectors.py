from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from shared_context.conversations.store import ConversationStore
from shared_context.errors import SharedContextError
from shared_context.retrieval.embedding import EmbeddingModel
from shared_context.retrieval.recall import MemorySearch
from shared_context.retrieval.static_vectors import NAME, StaticEmbedder


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    installed = StaticEmbedder.installed()
    assert installed is not None
    return installed


def test_a_text_is_the_mean_of_its_tokens(embedder: StaticEmbedder) -> None:
    one, other, both = embedder.embed(["walnut", "walnut walnut", ""])
    assert numpy.allclose(one, other, atol=1e-3)
    assert not both.any()


def test_what_means_the_same_is_closer_than_what_does_not(embedder: StaticEmbedder) -> None:
    def closeness(a: str, b: str) -> float:
        left, right = embedder.embed([a, b])
        return float(left @ right / numpy.linalg.norm(left) / numpy.linalg.norm(right))

    assert closeness("my sister", "a sibling") > closeness("my sister", "a database")


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(SharedContextError, match="cannot be read"):
        StaticEmbedder(tmp_path).embed(["a"])


def test_a_passage_is_near_as_soon_as_it_is_read(tmp_path: Path, embedder: StaticEmbedder) -> None:
    store = ConversationStore.open(tmp_path / "conversations.db")
    model = EmbeddingModel(embedder, NAME, immediate=True, with_before=False)
    memory = MemorySearch(tmp_path / "search.db", store, embedding=model)
    for number in range(60):
        store.add_message("default", "assistant", f"Line {number} of the budget is settled.")
    store.add_message("default", "user", "My sister looks after the seals at the aquarium.")
    (best, *_) = memory.recall("What does my sibling do at the zoo?", [], asked_at="", without=())
    assert "seals" in best.text
    state = memory.embedding_state()
    assert state is not None and state.embedded == state.passages == 61
    memory.close()
    store.close()


def test_without_its_files_the_words_still_find(tmp_path: Path) -> None:
    store = ConversationStore.open(tmp_path / "conversations.db")
    model = EmbeddingModel(StaticEmbedder(tmp_path), NAME, immediate=True)
    memory = MemorySearch(tmp_path / "search.db", store, embedding=model)
    store.add_message("default", "user", "The ladder stands behind the shed.")
    assert memory.recall("Where is the ladder?", [], asked_at="", without=())
    state = memory.embedding_state()
    assert state is not None and state.problem is not None
    memory.close()
    store.close()

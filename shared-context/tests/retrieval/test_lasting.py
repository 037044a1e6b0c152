from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_context.conversations.store import ConversationStore
from shared_context.retrieval import encoder
from shared_context.retrieval.embedding import EmbeddingModel
from shared_context.retrieval.lasting import LastingModel
from shared_context.retrieval.recall import Found, MemorySearch
from shared_context.retrieval.static_vectors import NAME, StaticEmbedder

ALLERGY = "I'm allergic to walnuts."


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[MemorySearch]:
    store = ConversationStore.open(tmp_path / "conversations.db")
    embedder = StaticEmbedder.installed()
    assert embedder is not None
    model = EmbeddingModel(embedder, NAME, immediate=True, with_before=False, lasting=LastingModel.of(NAME))
    search = MemorySearch(tmp_path / "search.db", store, embedding=model)
    for number in range(30):
        store.add_message("default", "user", f"The train to town {number} leaves at nine on Monday.")
        store.add_message("default", "assistant", "I never drink coffee.")
    store.add_message("default", "user", "Why am I so allergic to walnuts?")
    store.add_message("default", "user", ALLERGY)
    yield search
    search.close()
    store.close()


def lasting(memory: MemorySearch, without: tuple[str, ...] = ()) -> list[Found]:
    hits = memory.recall("Suggest a dessert.", [], asked_at="", without=without)
    return [one for one in hits if one.lasting]


def test_what_the_owner_said_that_lasts_is_recalled_whatever_is_asked(memory: MemorySearch) -> None:
    recalled = lasting(memory)
    assert recalled[0].text == ALLERGY and recalled[0].source == "message"


def test_neither_questions_nor_what_the_assistant_says_of_itself_nor_what_passes_is(
    memory: MemorySearch,
) -> None:
    assert {one.text for one in lasting(memory)} == {ALLERGY}


def test_what_the_model_sees_anyway_is_left_out(memory: MemorySearch) -> None:
    assert lasting(memory, without=(lasting(memory)[0].item,)) == []


def test_a_search_lists_only_what_fits(memory: MemorySearch) -> None:
    assert not any(one.lasting for one in memory.search("train"))


@pytest.mark.parametrize("name", [NAME, encoder.NAME])
def test_there_is_a_model_for_each_kind_of_vectors(name: str) -> None:
    assert LastingModel.of(name) is not None


def test_other_vectors_have_none() -> None:
    assert LastingModel.of("some.gguf") is None

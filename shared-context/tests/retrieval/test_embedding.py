from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from shared_context.conversations.store import ConversationStore
from shared_context.retrieval import embedding
from shared_context.retrieval.embedding import EmbeddingModel
from shared_context.retrieval.recall import MemorySearch
from support.waiting import wait_until

WAIT = 20.0
MEANINGS = (("dog", "dachshund", "bark"), ("airship", "zeppelin"), ("bread", "loaf", "oven"))


class Meanings:
    """One number per group of words that mean much the same."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fails = False
        self.refuses = ""
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.calls.append(list(texts))
        if self.fails:
            raise RuntimeError("no model")
        if self.refuses and any(self.refuses in text for text in texts):
            raise ValueError("too long")
        assert self.may_go_on.wait(WAIT)
        return [self._vector(text.lower()) for text in texts]

    def _vector(self, text: str) -> list[float]:
        return [0.01 + sum(word in text for word in group) for group in MEANINGS] + [0.5]


@pytest.fixture
def embedder() -> Iterator[Meanings]:
    embedder = Meanings()
    yield embedder
    embedder.may_go_on.set()


Open = Callable[..., MemorySearch]


@pytest.fixture
def busy() -> list[str]:
    """Who needs the model for something else."""
    return []


@pytest.fixture
def open_memory(
    tmp_path: Path, store: ConversationStore, embedder: Meanings, busy: list[str]
) -> Iterator[Open]:
    opened: list[MemorySearch] = []

    def one(name: str = "meanings", **fields: Any) -> MemorySearch:
        model = EmbeddingModel(embedder, name, lambda: busy == [], **fields)
        opened.append(MemorySearch(tmp_path / "search.db", store, embedding=model))
        return opened[-1]

    yield one
    for memory in opened:
        memory.close()


def fill(store: ConversationStore) -> None:
    for number in range(30):
        store.add_message("default", "user", f"The wall number {number} was painted white.")
    store.add_message("default", "user", "Our dachshund barks all night.")


def texts(memory: MemorySearch, asked: str) -> list[str]:
    return [one.text for one in memory.recall(asked, [], asked_at="", without=())]


def test_what_is_near_in_meaning_is_found_without_its_words(
    open_memory: Open, store: ConversationStore
) -> None:
    fill(store)
    memory = open_memory()
    store.create("other")
    store.add_message("other", "user", "A zeppelin came over the hill.")
    memory.refresh()
    wait_until(lambda: texts(memory, "Did any airship pass?")[:1] == ["A zeppelin came over the hill."])
    assert [one.text for one in memory.search("airship")][:1] == ["A zeppelin came over the hill."]


def test_vectors_are_made_once_and_only_for_their_embedder(
    open_memory: Open, store: ConversationStore, embedder: Meanings
) -> None:
    fill(store)
    first = open_memory()
    first.refresh()
    wait_until(lambda: sum(map(len, embedder.calls)) >= 31)
    first.close()
    embedder.calls.clear()
    again = open_memory()
    again.refresh()
    store.add_message("default", "user", "The new oven.")
    again.refresh()
    wait_until(lambda: ["Our dachshund barks all night.\nThe new oven."] in embedder.calls)
    assert sum(map(len, embedder.calls)) == 1
    again.close()
    open_memory("another model").refresh()
    wait_until(lambda: sum(map(len, embedder.calls)) >= 33)


def test_another_file_under_the_same_name_makes_all_vectors_again(
    open_memory: Open, store: ConversationStore, embedder: Meanings
) -> None:
    fill(store)
    for content, expected in (("one", 31), ("one", 0), ("another", 31)):
        embedder.calls.clear()
        memory = open_memory(content=content)
        memory.refresh()
        wait_until(lambda memory=memory: memory.embedding_state().embedded == 31)
        memory.close()
        assert sum(map(len, embedder.calls)) == expected


def test_the_model_is_made_ready_before_the_first_question(
    open_memory: Open, store: ConversationStore
) -> None:
    loaded = threading.Event()
    open_memory(load=loaded.set)
    assert loaded.wait(WAIT)


def test_a_passage_the_model_refuses_keeps_no_other_waiting(
    open_memory: Open, store: ConversationStore, embedder: Meanings
) -> None:
    fill(store)
    embedder.refuses = "painted white"
    store.add_message("default", "user", "The new oven.")
    memory = open_memory()
    memory.refresh()
    wait_until(lambda: memory.embedding_state().refused == 31)
    state = memory.embedding_state()
    assert (state.model, state.passages, state.embedded, state.problem) == ("meanings", 32, 1, None)


def test_what_fails_is_told_until_it_works_again(
    open_memory: Open, store: ConversationStore, embedder: Meanings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "PAUSE_S", 0.01)
    embedder.fails = True
    fill(store)
    memory = open_memory()
    memory.refresh()
    wait_until(lambda: memory.embedding_state().problem == "no model")
    embedder.fails = False
    wait_until(lambda: memory.embedding_state().embedded == 31)
    wait_until(lambda: memory.embedding_state().problem is None)


def test_without_embeddings_there_is_no_state(tmp_path: Path, store: ConversationStore) -> None:
    memory = MemorySearch(tmp_path / "words.db", store)
    assert memory.embedding_state() is None
    memory.close()


def test_a_slow_embedder_holds_no_question_up(
    open_memory: Open, store: ConversationStore, embedder: Meanings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    memory = open_memory()
    memory.refresh()
    wait_until(lambda: sum(map(len, embedder.calls)) >= 31)
    monkeypatch.setattr(embedding, "PATIENCE_S", 0.01)
    embedder.may_go_on.clear()
    for _ in range(3):
        assert texts(memory, "Does the dachshund bark?") == ["Our dachshund barks all night."]
    asked = [call for call in embedder.calls if call == ["Does the dachshund bark?"]]
    assert len(asked) <= 1, "questions pile up"


def test_an_embedder_that_fails_leaves_the_words(
    open_memory: Open, store: ConversationStore, embedder: Meanings
) -> None:
    embedder.fails = True
    fill(store)
    memory = open_memory()
    memory.refresh()
    wait_until(lambda: embedder.calls)
    assert texts(memory, "Does the dachshund bark?") == ["Our dachshund barks all night."]


def test_what_was_deleted_is_not_near_anything(open_memory: Open, store: ConversationStore) -> None:
    store.create("other")
    gone = store.add_message("other", "user", "A zeppelin came over the hill.")
    fill(store)
    memory = open_memory()
    memory.refresh()
    wait_until(lambda: "A zeppelin came over the hill." in texts(memory, "Did any airship pass?"))
    store.delete("other")
    assert gone.content not in texts(memory, "Did any airship pass?")


def test_passages_wait_while_answers_run(
    open_memory: Open,
    store: ConversationStore,
    embedder: Meanings,
    busy: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedding, "IDLE_CHECK_S", 0.01)
    busy.append("an answer")
    fill(store)
    memory = open_memory()
    assert texts(memory, "Does the dachshund bark?") == ["Our dachshund barks all night."]
    assert embedder.calls == []
    busy.clear()
    wait_until(lambda: sum(map(len, embedder.calls)) >= 31)

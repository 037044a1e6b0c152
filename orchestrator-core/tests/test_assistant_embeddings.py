"""`context.embeddings`, with the engine's own vectors and with a model of its own."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from gguf_random import preset_model
from orchestrator_core.assistant import open_assistant
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import ModelNotFound
from orchestrator_core.runs.spec import RunState
from orchestrator_core.settings import Settings
from shared_context.retrieval.embedding import EmbeddingState
from shared_context.retrieval.index import MIGRATIONS
from shared_context.storage.database import Database
from shared_context.storage.identity import new_id
from support.scripted import ScriptedBackend
from support.tiny_bert import TinyBert
from support.waiting import wait_until

WAIT = 120.0
SAID_ID = new_id()
SAID = "The walnut box of my aunt is behind the chimney."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preset_model(tmp_path_factory.mktemp("model") / "tiny.gguf", "tiny")


def settings(data: Path, model: str | Path, embeddings: object) -> Settings:
    return Settings.model_validate(
        {
            "data": data,
            "model": {"path": str(model), "context_length": 2048},
            "engine": {"threads": 1},
            "generation": {"max_new_tokens": 8},
            "context": {"embeddings": str(embeddings), "retrieval_share": 0.2},
        }
    )


def vectors(data: Path) -> int:
    database = Database(data / "search.db", MIGRATIONS)
    try:
        with database.read() as connection:
            return int(connection.execute("SELECT count(*) FROM vectors").fetchone()[0])
    finally:
        database.close()


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["engine", "a model of its own"])
def test_what_is_said_gets_vectors_in_the_background(model: Path, tmp_path: Path, own: bool) -> None:
    with open_assistant(settings(tmp_path, model, model if own else "engine")) as assistant:
        assistant.conversations.create("elsewhere")
        assistant.conversations.add_message("elsewhere", "user", SAID)
        run = assistant.ask(ChatRequest(message="Where is the walnut box?"))
        assert run.wait(WAIT).state is RunState.DONE
        wait_until(lambda: vectors(tmp_path) >= 3)
        again = assistant.ask(ChatRequest(message="And the walnut box of the aunt?"))
        assert again.wait(WAIT).state is RunState.DONE
        assert SAID in assistant.preview("default", "Where is the box?").prompt.text


def test_a_model_made_for_it_keeps_its_vectors_over_a_restart_and_another_makes_them_anew(
    tmp_path: Path,
) -> None:
    files = [TinyBert(tmp_path / f"{seed}.gguf", seed=seed).path for seed in (1, 2)]
    chosen = tmp_path / "chosen.gguf"

    def stored(file: Path) -> list[bytes]:
        """The vectors with this model, once all are there."""
        shutil.copyfile(file, chosen)
        backend = ScriptedBackend(otherwise="Yes.", context_length=8192)
        with open_assistant(settings(tmp_path, "builtin", chosen), backend=backend) as assistant:
            memory = assistant.memory
            assert memory is not None
            assistant.conversations.add_message("default", "user", SAID, message_id=SAID_ID)
            wait_until(lambda: memory.embedding_state() == EmbeddingState("chosen.gguf", 1, 1), WAIT)
        with closing(Database(tmp_path / "search.db", MIGRATIONS)) as database, database.read() as connection:
            return [row[0] for row in connection.execute("SELECT vector FROM vectors")]

    first = stored(files[0])
    assert stored(files[0]) == first
    assert stored(files[1]) != first


def test_an_embedding_model_that_is_none_leaves_the_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and nothing else")
    backend = ScriptedBackend(otherwise="Yes.", context_length=8192)
    with open_assistant(settings(tmp_path, "builtin", broken), backend=backend) as assistant:
        memory = assistant.memory
        assert memory is not None
        assistant.conversations.create("elsewhere")
        assistant.conversations.add_message("elsewhere", "user", SAID)
        assert assistant.preview("default", "Where is the walnut box?").receipt.retrieved
        wait_until(lambda: "broken.gguf" in str(getattr(memory.embedding_state(), "problem", "")), WAIT)


def test_a_backend_without_embeddings_leaves_the_words(tmp_path: Path) -> None:
    backend = ScriptedBackend(otherwise="Yes.", context_length=8192)
    with open_assistant(settings(tmp_path, "builtin", "engine"), backend=backend) as assistant:
        assistant.conversations.create("elsewhere")
        assistant.conversations.add_message("elsewhere", "user", SAID)
        assert assistant.preview("default", "Where is the walnut box?").receipt.retrieved


def test_a_missing_file_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="embedding model"):
        open_assistant(settings(tmp_path, "builtin", tmp_path / "none.gguf"), backend=ScriptedBackend())

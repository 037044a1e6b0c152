"""Two processes on one data folder: they take turns, ask each other, or are refused in clear words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ai_orchestrator.session_context import read_document
from orchestrator_core.settings import Settings
from shared_context.conversations.store import ConversationStore
from support.children import Child
from support.command_line import fresh_user, orchestrator, serving

pytestmark = pytest.mark.slow

LOG = "SESSION_LOG.md"

HOLDER = """
    import sys
    from pathlib import Path
    from orchestrator_core.assistant import Assistant, open_assistant
    from orchestrator_core.settings import Settings

    settings = Settings.model_validate(
        {"data": sys.argv[1], "model": {"backend": "support.scripted:ScriptedBackend.from_settings", "path": "echo"}}
    )
    with open_assistant(settings) as assistant:
        print("held")
        sys.stdin.readline()
"""
"""What `orchestrator chat` is without a server: an assistant in a process of its own."""

SEVERAL = 4


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return fresh_user(tmp_path)


@pytest.fixture
def data(env: dict[str, str]) -> Path:
    return Path(env["ORCHESTRATOR_DATA"])


def at_once(env: dict[str, str], commands: Sequence[Sequence[str]]) -> list[subprocess.CompletedProcess[str]]:
    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(lambda arguments: orchestrator(env, *arguments), commands))


def test_commands_that_append_at_once_lose_nothing(env: dict[str, str], data: Path) -> None:
    done = at_once(env, [("context", "append", f"entry {number} ends") for number in range(SEVERAL)])
    assert [one.returncode for one in done] == [0] * SEVERAL, [one.stderr for one in done]
    text = (data / "context" / LOG).read_text()
    assert [text.count(f"\nentry {number} ends\n") for number in range(SEVERAL)] == [1] * SEVERAL


def test_questions_asked_at_once_without_a_server_are_answered_or_refused_in_clear_words(
    env: dict[str, str], data: Path
) -> None:
    done = at_once(env, [("ask", f"question {number}") for number in range(SEVERAL)])
    answered = [number for number, one in enumerate(done) if one.returncode == 0]
    assert answered
    for one in done:
        if one.returncode != 0:
            assert one.returncode == 1
            assert "in use" in one.stderr and "orchestrator serve" in one.stderr
            assert "Traceback" not in one.stderr
    with ConversationStore.open(data / "memory.db") as store:
        said = [
            message.content
            for conversation in store.list()
            for message in store.messages(conversation.conversation_id)
            if message.role == "user"
        ]
    assert sorted(said) == [f"question {number}" for number in answered]


def test_questions_asked_at_once_of_a_server_are_all_answered(env: dict[str, str]) -> None:
    with serving(env):
        done = at_once(env, [("ask", f"question {number}") for number in range(SEVERAL)])
        assert [f"question {number}" in one.stdout for number, one in enumerate(done)] == [True] * SEVERAL


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", "Hello"),
        ("context", "list"),
        ("context", "append", "x"),
        ("context", "restore", "log", "0123456789ab"),
        ("serve", "--port", "0"),
    ],
    ids=" ".join,
)
def test_beside_a_chat_without_a_server_what_would_write_is_refused(
    env: dict[str, str], data: Path, arguments: tuple[str, ...]
) -> None:
    with Child(HOLDER, data) as holder:
        assert holder.line() == "held"
        done = orchestrator(env, *arguments)
        assert done.returncode == 1
        assert "in use" in done.stderr and "Hint:" in done.stderr and "Traceback" not in done.stderr
        holder.tell("")
        holder.rest()
    assert orchestrator(env, "context", "list").returncode == 0


@pytest.mark.parametrize(
    "arguments", [("logs", "--json"), ("search", "lamp", "--json"), ("models", "--json")], ids=" ".join
)
def test_beside_a_chat_without_a_server_what_only_reads_works(
    env: dict[str, str], data: Path, arguments: tuple[str, ...]
) -> None:
    with Child(HOLDER, data) as holder:
        assert holder.line() == "held"
        done = orchestrator(env, *arguments)
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)


def test_searches_at_once_build_one_index_and_find_the_same(env: dict[str, str], data: Path) -> None:
    data.mkdir()
    with ConversationStore.open(data / "memory.db") as store:
        for number in range(200):
            store.add_message("default", "user", f"The lamp number {number} is blue.")
    done = at_once(env, [("search", "lamp number 17", "--json")] * SEVERAL)
    assert [one.returncode for one in done] == [0] * SEVERAL, [one.stderr for one in done]
    found = [[hit["id"] for hit in json.loads(one.stdout)["results"]] for one in done]
    assert found == [found[0]] * SEVERAL
    assert len(found[0]) == len(set(found[0])) > 0


def test_the_sdk_reads_documents_beside_a_server(env: dict[str, str], data: Path) -> None:
    with serving(env):
        assert orchestrator(env, "context", "append", "The lamp is blue.").returncode == 0
        assert "The lamp is blue." in read_document(Settings(data=data), LOG).text


def test_a_command_killed_while_it_held_the_documents_leaves_them_free(
    env: dict[str, str], data: Path
) -> None:
    with Child(HOLDER, data) as holder:
        assert holder.line() == "held"
        holder.kill()
    assert orchestrator(env, "context", "append", "afterwards").returncode == 0

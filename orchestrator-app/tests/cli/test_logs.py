"""`logs`, `search` and `models`: what is stored and what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shared_context.conversations.store import ConversationStore
from support.command_line import fresh_user, orchestrator


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return fresh_user(tmp_path)


@pytest.fixture
def told(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A memory with two conversations and a briefing; returns their ids by title."""
    with ConversationStore.open(tmp_path / "data" / "memory.db") as store:
        ids = {}
        for title, said, answered in (
            ("first", "Where is the lamp?", "Beside\tthe door."),
            ("second", "Tea?", "Yes."),
        ):
            conversation = store.create(title=title)
            store.add_message(conversation.conversation_id, "user", said)
            store.add_message(conversation.conversation_id, "assistant", answered, model="m")
            ids[title] = conversation.conversation_id
    folder = tmp_path / "data" / "context"
    folder.mkdir()
    (folder / "SESSION_BRIEFING.md").write_text("# Briefing\n\nThe LAMP is blue.\n")
    return ids


def test_conversations_are_listed_latest_first(env: dict[str, str], told: dict[str, str]) -> None:
    listed = json.loads(orchestrator(env, "logs", "--json").stdout)
    assert [one["title"] for one in listed] == ["second", "first"]
    assert len(orchestrator(env, "logs", "-n", "1").stdout.splitlines()) == 1
    assert orchestrator(env, "logs").stdout.splitlines()[0].split("\t")[0] == told["second"]


def test_a_conversation_is_shown_in_full(env: dict[str, str], told: dict[str, str]) -> None:
    shown = orchestrator(env, "logs", "--cid", told["first"]).stdout
    assert shown.index("Where is the lamp?") < shown.index("Beside\tthe door.")
    assert "Tea?" in orchestrator(env, "logs", "-c").stdout
    assert orchestrator(env, "logs", "-r").stdout == "Yes.\n"
    assert json.loads(orchestrator(env, "logs", "-r", "--json").stdout)["model"] == "m"
    missing = orchestrator(env, "logs", "--cid", "nowhere")
    assert (missing.returncode, missing.stdout) == (1, "")


def test_messages_are_found_by_their_words(env: dict[str, str], told: dict[str, str]) -> None:
    hits = json.loads(orchestrator(env, "logs", "-q", "lamp", "--json").stdout)
    assert [one["conversation_id"] for one in hits] == [told["first"]]
    assert orchestrator(env, "logs", "-q", '"AND (').returncode == 0


def test_search_looks_into_documents_and_messages(env: dict[str, str], told: dict[str, str]) -> None:
    found = json.loads(orchestrator(env, "search", "lamp", "--json").stdout)["results"]
    assert (found[0]["source"], found[0]["text"]) == ("document", "The LAMP is blue.")
    assert found[0]["id"] == "SESSION_BRIEFING.md:3"
    assert found[1]["conversation_id"] == told["first"]
    assert orchestrator(env, "search", "lamp", "blue").stdout.startswith("SESSION_BRIEFING.md:3\t")


def test_searching_for_nothing_is_wrong_usage(env: dict[str, str]) -> None:
    done = orchestrator(env, "search", " ")
    assert (done.returncode, done.stdout) == (2, "") and "no word" in done.stderr


def test_search_looks_into_all_projects_or_one(env: dict[str, str], tmp_path: Path) -> None:
    for project in ("boat", "house"):
        place = tmp_path / "data" / "context" / project / "SESSION_LOG.md"
        place.parent.mkdir(parents=True)
        place.write_text(f"The lamp of the {project}.\n")
    found = json.loads(orchestrator(env, "search", "lamp", "--json").stdout)["results"]
    assert [(one["id"], one["project"]) for one in found] == [
        ("boat/SESSION_LOG.md:1", "boat"),
        ("house/SESSION_LOG.md:1", "house"),
    ]
    one = json.loads(orchestrator(env, "search", "lamp", "--project", "house", "--json").stdout)["results"]
    assert [hit["project"] for hit in one] == ["house"]
    wrong = orchestrator(env, "search", "lamp", "--project", "hous")
    assert wrong.returncode == 1 and "boat, house" in wrong.stderr


def test_a_fresh_machine_has_nothing_and_stays_so(env: dict[str, str], tmp_path: Path) -> None:
    assert json.loads(orchestrator(env, "logs", "--json").stdout) == []
    assert orchestrator(env, "logs").returncode == 0
    assert json.loads(orchestrator(env, "search", "x", "--json").stdout) == {"results": []}
    assert not (tmp_path / "data").exists()


def test_models_lists_the_configured_one_and_the_folder(env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "data" / "models"
    folder.mkdir(parents=True)
    (folder / "big.gguf").write_bytes(b"GGUF" + b"\0" * 96)
    (folder / "broken.gguf").write_bytes(b"<html>")
    del env["ORCHESTRATOR_BACKEND"]
    found = json.loads(orchestrator(env, "models", "-m", "big.gguf", "--json").stdout)
    by_name = {one["name"]: one for one in found}
    assert [one["name"] for one in found] == ["big.gguf", "builtin", "broken.gguf"]
    assert (by_name["big.gguf"]["active"], by_name["big.gguf"]["size_bytes"]) == (True, 100)
    assert by_name["big.gguf"]["backend"] == "llama_cpp"
    assert by_name["broken.gguf"]["problem"] == "not a GGUF file"
    assert orchestrator(env, "models", "-m", "big.gguf").stdout.startswith("* big.gguf\tllama_cpp\t")


def test_a_model_that_is_not_there_is_listed_with_its_problem(env: dict[str, str]) -> None:
    del env["ORCHESTRATOR_BACKEND"]
    found = json.loads(orchestrator(env, "models", "-m", "none.gguf", "--json").stdout)
    assert "none.gguf" in found[0]["problem"]


def test_other_versions_of_an_answer_are_shown_under_it(
    env: dict[str, str], told: dict[str, str], tmp_path: Path
) -> None:
    with ConversationStore.open(tmp_path / "data" / "memory.db") as store:
        question, former = store.messages(told["second"])
        store.add_message(
            told["second"],
            "assistant",
            "Yes, in the kitchen.",
            tier="vps",
            model="small",
            reply_to=question.message_id,
            receipt={"reason": "the desktop is away"},
            supersedes=former.message_id,
        )
    shown = orchestrator(env, "logs", "--cid", told["second"]).stdout
    assert " · vps · small (the desktop is away)\nYes, in the kitchen." in shown
    assert shown.index("in the kitchen") < shown.index("## another version") < shown.rindex("Yes.\n")
    answer = json.loads(orchestrator(env, "logs", "--cid", told["second"], "--json").stdout)[-1]
    assert [one["message_id"] for one in answer["versions"]] == [former.message_id]
    assert orchestrator(env, "logs", "-r").stdout == "Yes, in the kitchen.\n"

"""Several agents on one memory at once, each with a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import anyio
import pytest
from ai_orchestrator import server_file
from ai_orchestrator.holding import reach
from orchestrator_core.settings import Settings
from shared_context.documents.context_folder import ContextFolder
from shared_context.errors import StoreLocked
from support.command_line import fresh_user, orchestrator, serving
from support.mcp_clients import call, over_stdio

WRITES = 20
BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"

pytestmark = pytest.mark.slow


@pytest.fixture(params=["alone", "served"])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    variables = fresh_user(tmp_path)
    with serving(variables) if request.param == "served" else nullcontext():
        yield variables


def test_two_processes_with_twenty_writes_each_leave_forty_entries(env: dict[str, str]) -> None:
    async def write(who: str) -> None:
        async with over_stdio(env) as client, anyio.create_task_group() as together:
            for number in range(WRITES):
                together.start_soon(append, client, f"{who} {number}")

    async def append(client: object, text: str) -> None:
        await call(client, "append_log", text=f"entry by {text} ends")  # type: ignore[arg-type]

    async def both() -> str:
        async with anyio.create_task_group() as group:
            group.start_soon(write, "red")
            group.start_soon(write, "blue")
        async with over_stdio(env) as client:
            return str((await call(client, "read_document", name=LOG))["text"])

    text = anyio.run(both)
    assert text.count("<!-- entry:") == 2 * WRITES
    for who in ("red", "blue"):
        for number in range(WRITES):
            assert text.count(f"\nentry by {who} {number} ends\n") == 1


def test_two_processes_that_edit_the_briefing_from_one_base_keep_both_edits(env: dict[str, str]) -> None:
    async def edits() -> tuple[dict[str, object], dict[str, object]]:
        async with over_stdio(env) as red, over_stdio(env) as blue:
            start = await call(red, "read_document", name=BRIEFING)
            await call(red, "update_briefing", text="# Now\n\ntop\n\nbottom\n", base_version=start["version"])
            base = (await call(blue, "read_document", name=BRIEFING))["version"]
            first = "# Now\n\ntop by red\n\nbottom\n"
            second = "# Now\n\ntop\n\nbottom by blue\n"
            await call(red, "update_briefing", text=first, base_version=base)
            merged = await call(blue, "update_briefing", text=second, base_version=base)
            third = await call(
                blue, "update_briefing", text="# Now\n\ntop by blue\n\nbottom\n", base_version=base
            )
            return merged, third

    merged, third = anyio.run(edits)
    assert merged["merged"] and merged["conflicts"] == []
    assert merged["text"] == "# Now\n\ntop by red\n\nbottom by blue\n"
    (conflict,) = third["conflicts"]  # type: ignore[misc]
    assert {side["text"] for side in conflict["sides"]} == {"top by red", "top by blue"}


def test_another_projects_documents_are_the_same_from_everywhere(env: dict[str, str], tmp_path: Path) -> None:
    house = tmp_path / "data" / "context" / "house"
    house.mkdir(parents=True)
    (house / BRIEFING).write_text("# House\n")
    there = {**env, "ORCHESTRATOR_PROJECT": "house"}

    async def work() -> None:
        async with over_stdio(env) as client, over_stdio(there) as other:
            read = await call(client, "read_document", name=BRIEFING, project="house")
            assert read == await call(other, "read_document", name=BRIEFING)
            await call(client, "append_log", text="Painted.", project="house")
            assert "Painted." in (await call(other, "read_document", name=LOG))["text"]
            assert "Painted." not in (await call(client, "read_document", name=LOG))["text"]

    anyio.run(work)
    assert "Painted." in orchestrator(there, "context", "show", "log").stdout
    assert "Painted." not in orchestrator(env, "context", "show", "log").stdout


def test_a_server_that_comes_and_goes_is_followed(tmp_path: Path) -> None:
    env = fresh_user(tmp_path)

    async def across() -> str:
        async with over_stdio(env) as client:
            await call(client, "append_log", text="before")
            with serving(env):
                await call(client, "append_log", text="during")
                answer = await call(client, "ask", message="echo me")
                assert "echo me" in answer["response"]
                listed = await client.list_resources()
                assert any(answer["conversation_id"] in one.uri for one in listed.resources)
            await call(client, "append_log", text="after")
            found = await call(client, "read_conversation", conversation_id=answer["conversation_id"])
            assert [one["role"] for one in found["history"]] == ["user", "assistant"]
            return str((await call(client, "read_document", name=LOG))["text"])

    text = anyio.run(across)
    assert [text.count(f"\n{word}\n") for word in ("before", "during", "after")] == [1, 1, 1]


def test_commands_beside_agents_wait_for_their_turn(tmp_path: Path) -> None:
    env = fresh_user(tmp_path)

    async def together() -> None:
        async with over_stdio(env) as client, anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(
                    anyio.to_thread.run_sync, orchestrator, env, "context", "append", f"command {number}"
                )
            for number in range(WRITES):
                await call(client, "append_log", text=f"agent {number}")

    anyio.run(together)
    text = (tmp_path / "data" / "context" / LOG).read_text()
    assert text.count("<!-- entry:") == WRITES + 4


def test_a_program_that_keeps_the_documents_is_told_of_after_a_bounded_wait(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with_it = ContextFolder(tmp_path / "context", state=tmp_path / "context-state")
    try:
        with pytest.raises(StoreLocked) as caught:
            reach(settings, wait_s=0.1)
    finally:
        with_it.close()
    assert "orchestrator serve" in (caught.value.hint or "")
    found = reach(settings, wait_s=0.1)
    assert isinstance(found, ContextFolder)
    found.close()


def test_what_a_killed_server_left_behind_is_not_trusted(tmp_path: Path) -> None:
    server_file.announce(tmp_path, "http://127.0.0.1:1")
    found = reach(Settings(data=tmp_path), wait_s=0.1)
    assert isinstance(found, ContextFolder)
    found.close()
    assert server_file.read(tmp_path) is None

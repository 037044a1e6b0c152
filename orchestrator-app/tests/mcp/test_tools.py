"""What an agent can do, told with the SDK's own client; in this process, where nothing needs another."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from ai_orchestrator.mcp.memory import SharedMemory
from ai_orchestrator.mcp.server import create_server
from mcp import Client, MCPError
from orchestrator_core.errors import BackendUnreachable
from orchestrator_core.settings import Settings
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder
from support.mcp_clients import call, refusal

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"
Result = TypeVar("Result")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


@pytest.fixture
def memory(settings: Settings) -> SharedMemory:
    return SharedMemory(settings, wait_s=0.1)


@pytest.fixture
def talk(settings: Settings, memory: SharedMemory) -> Callable[[Callable[[Client], Awaitable[Any]]], Any]:
    def run(work: Callable[[Client], Awaitable[Any]]) -> Any:
        async def connected() -> Any:
            async with Client(create_server(settings, memory)) as client:
                return await work(client)

        return anyio.run(connected)

    return run


Talk = Callable[[Callable[[Client], Awaitable[Any]]], Any]


def test_every_tool_tells_what_it_takes_and_gives(talk: Talk) -> None:
    async def list_tools(client: Client) -> Any:
        return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in talk(list_tools)}
    assert {"search", "append_log", "read_document", "update_briefing"} <= set(tools)
    for tool in tools.values():
        assert tool.description and tool.output_schema, tool.name
        assert tool.annotations is not None
        assert (tool.annotations.destructive_hint is True) == (tool.name == "forget_item")
    assert tools["update_briefing"].input_schema["required"] == ["text", "base_version"]
    assert tools["read_document"].annotations.read_only_hint is True


def test_what_is_written_is_read_searched_and_in_the_resources(talk: Talk) -> None:
    async def work(client: Client) -> None:
        added = await call(client, "append_log", text="The **lamp** is blue.", entry_id="lamp-1")
        assert added["entry_id"] == "lamp-1"
        again = await call(client, "append_log", text="The **lamp** is blue.", entry_id="lamp-1")
        assert again == added
        log = await call(client, "read_document", name=LOG)
        assert log["version"] == added["version"] and log["text"].count("lamp") == 2
        (hit,) = (await call(client, "search", query="lamp colour blue"))["results"]
        assert (hit["source"], hit["id"]) == ("log", f"{LOG}#lamp-1")
        resource = await client.read_resource(f"orchestrator://context/{LOG}")
        assert resource.contents[0].text == log["text"]
        assert resource.contents[0].mime_type == "text/markdown"
        listed = await call(client, "list_documents")
        assert [one["name"] for one in listed["documents"]][-1] == LOG
        assert listed["documents"][-1]["version"] == log["version"]

    talk(work)


def test_an_update_says_what_it_was_merged_with(talk: Talk, settings: Settings) -> None:
    async def work(client: Client) -> None:
        first = await call(client, "read_document", name="PROJECT_CONTEXT.md")
        written = "# House\r\n\r\none\r\n"
        mine = await call(
            client,
            "update_document",
            name="PROJECT_CONTEXT.md",
            text=written,
            base_version=first["version"],
        )
        assert (mine["merged"], mine["text"]) == (False, "# House\n\none\n")
        with (settings.context_folder / "PROJECT_CONTEXT.md").open("a") as editor:
            editor.write("by hand\n")
        mine = await call(
            client,
            "update_document",
            name="PROJECT_CONTEXT.md",
            text="# House\n\nONE\n",
            base_version=mine["version"],
        )
        assert (mine["merged"], mine["text"]) == (True, "# House\n\nONE\nby hand\n")

    talk(work)


def test_another_projects_documents_are_read_and_written(talk: Talk, settings: Settings) -> None:
    house = settings.context_folder / "house"
    house.mkdir(parents=True)
    (house / BRIEFING).write_text("# House\n")

    async def work(client: Client) -> None:
        read = await call(client, "read_document", name=BRIEFING, project="house")
        assert read["text"] == "# House\n"
        await call(
            client, "update_briefing", text="# House\n\nblue\n", base_version=read["version"], project="house"
        )
        await call(client, "append_log", text="Painted.", project="house")
        listed = await call(client, "list_documents")
        assert (listed["project"], listed["projects"]) == (None, ["house"])
        assert (await call(client, "list_documents", project="house"))["project"] == "house"
        assert "Painted." not in (await call(client, "read_document", name=LOG))["text"]
        resource = await client.read_resource(f"orchestrator://projects/house/{LOG}")
        assert "Painted." in resource.contents[0].text
        told = await refusal(client, "append_log", text="x", project="hous")
        assert "'hous'" in told and "house" in told
        for uri in (f"orchestrator://projects/hous/{LOG}", "orchestrator://projects/house/OTHER.md"):
            with pytest.raises(MCPError) as caught:
                await client.read_resource(uri)
            assert caught.value.code == -32602

    talk(work)
    assert (house / BRIEFING).read_text() == "# House\n\nblue\n"


def test_all_projects_are_searched_or_one(talk: Talk, settings: Settings) -> None:
    for project in ("boat", "house"):
        place = settings.context_folder / project / LOG
        place.parent.mkdir(parents=True)
        place.write_text(f"The {project} has a lamp.\n")

    async def work(client: Client) -> None:
        found = (await call(client, "search", query="lamp"))["results"]
        assert {hit["project"] for hit in found} == {"boat", "house"}
        (one,) = (await call(client, "search", query="lamp", project="house"))["results"]
        assert one["id"].startswith(f"house/{LOG}#")
        assert "house" in await refusal(client, "search", query="lamp", project="hous")

    talk(work)


def test_conflicts_are_reported_and_resolved(talk: Talk) -> None:
    async def work(client: Client) -> None:
        read = await call(client, "read_document", name=BRIEFING)
        base = await call(client, "update_briefing", text="# Now\n\nplan\n", base_version=read["version"])
        await call(client, "update_briefing", text="# Now\n\nplan A\n", base_version=base["version"])
        both = await call(client, "update_briefing", text="# Now\n\nplan B\n", base_version=base["version"])
        (conflict,) = both["conflicts"]
        assert conflict["name"] == BRIEFING
        assert {side["text"] for side in conflict["sides"]} == {"plan A", "plan B"}
        solved = await call(
            client, "resolve_conflict", conflict_id=conflict["conflict_id"], text="plan A, then B"
        )
        assert solved["text"] == "# Now\n\nplan A, then B\n"
        told = await refusal(client, "resolve_conflict", conflict_id=conflict["conflict_id"], text="x")
        assert "no conflict" in told

    talk(work)


def test_conversations_are_listed_and_read(talk: Talk, settings: Settings) -> None:
    settings.data.mkdir()
    with ConversationStore.open(settings.data / "memory.db") as store:
        store.create("odd/id ü", "Lamps")
        store.add_message("odd/id ü", "user", "Which lamp?")
        store.add_message("odd/id ü", "assistant", "The blue one.")

    async def work(client: Client) -> None:
        (listed,) = (await call(client, "list_conversations", limit=1))["conversations"]
        assert (listed["title"], listed["turn_count"]) == ("Lamps", 1)
        found = await call(client, "read_conversation", conversation_id=listed["conversation_id"], limit=1)
        assert [one["content"] for one in found["history"]] == ["The blue one."]
        (resource,) = [one for one in (await client.list_resources()).resources if "conversations" in one.uri]
        assert resource.title == "Lamps"
        text = (await client.read_resource(resource.uri)).contents[0].text
        assert text.startswith("# Lamps\n") and "Which lamp?" in text and "The blue one." in text
        templates = (await client.list_resource_templates()).resource_templates
        assert {one.uri_template for one in templates} == {
            "orchestrator://conversations/{conversation_id}",
            "orchestrator://projects/{project}/{name}",
        }
        (hit, *_) = (await call(client, "search", query="blue one"))["results"]
        assert hit["conversation_id"] == "odd/id ü"

    talk(work)


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("append_log", {}, "Field required"),
        ("append_log", {"text": ""}, "at least 1 character"),
        ("append_log", {"text": "  \n "}, "empty"),
        ("append_log", {"text": 12}, "valid string"),
        ("append_log", {"text": "x", "entry_id": "no spaces -->"}, "entry id"),
        ("append_log", {"text": "x" * (4 * 1024 * 1024 + 1)}, "at most"),
        ("read_document", {"name": "../../etc/passwd"}, "PORTFOLIO_CONTEXT.md"),
        ("update_briefing", {"text": "x"}, "base_version"),
        ("update_briefing", {"text": "x", "base_version": "latest-one"}, "pattern"),
        ("update_briefing", {"text": "x", "base_version": "0123456789ab"}, "Read the document again"),
        ("update_document", {"name": LOG, "text": "x", "base_version": "0123456789ab"}, "SESSION_BRIEFING"),
        ("search", {"query": "", "limit": 5}, "at least 1"),
        ("search", {"query": "x", "limit": 0}, "greater than or equal to 1"),
        ("read_conversation", {"conversation_id": "nope"}, "nope"),
        ("ask", {"message": "Hello"}, "orchestrator serve"),
        ("no_such_tool", {}, "Unknown tool"),
    ],
)
def test_bad_input_is_answered_with_words_that_help(
    talk: Talk, settings: Settings, tool: str, arguments: dict[str, Any], words: str
) -> None:
    settings.data.mkdir()
    ConversationStore.open(settings.data / "memory.db").close()

    async def work(client: Client) -> str:
        return await refusal(client, tool, **arguments)

    told = talk(work)
    assert words in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "uri",
    [
        "orchestrator://context/OTHER.md",
        "orchestrator://conversations/nope",
        "orchestrator://conversations/..%2F..%2Fetc%2Fpasswd",
        "file:///etc/passwd",
    ],
)
def test_a_resource_that_is_not_there_is_a_protocol_error(talk: Talk, uri: str) -> None:
    async def work(client: Client) -> None:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
        assert caught.value.code == -32602

    talk(work)


def test_a_memory_in_use_is_said_and_what_to_do(talk: Talk, settings: Settings) -> None:
    held = ContextFolder(settings.context_folder, state=settings.data / "context-state")

    async def work(client: Client) -> str:
        return await refusal(client, "append_log", text="x")

    try:
        told = talk(work)
    finally:
        held.close()
    assert "in use by another process" in told and "orchestrator serve" in told


def test_what_only_reads_works_while_another_program_keeps_the_documents(
    talk: Talk, settings: Settings
) -> None:
    with ConversationStore.open(settings.data / "memory.db") as store:
        store.add_message("default", "user", "Where is the lamp?")
    (settings.context_folder / "house").mkdir(parents=True)
    (settings.context_folder / "house" / BRIEFING).write_text("# House\n")
    held = ContextFolder(settings.context_folder, state=settings.data / "context-state")
    known = held.document(BRIEFING)

    async def read(client: Client) -> None:
        shown = await call(client, "read_document", name=BRIEFING)
        assert (shown["version"], shown["text"]) == (known.version, known.text)
        listed = await call(client, "list_documents")
        assert [one["name"] for one in listed["documents"]][-1] == LOG
        assert "in use by another process" in listed["problems"][0]
        assert (await call(client, "search", query="lamp"))["results"]
        assert (await call(client, "list_conversations"))["conversations"]
        assert len((await client.list_resources()).resources) == 5
        assert (await call(client, "read_document", name=BRIEFING, project="house"))["text"] == "# House\n"
        assert "no project" in await refusal(client, "read_document", name=BRIEFING, project="hous")
        for tool in ("update_briefing", "append_log"):
            fields = {"text": "x"} | ({"base_version": known.version} if tool == "update_briefing" else {})
            assert "in use" in await refusal(client, tool, **fields)

    async def edit(client: Client) -> None:
        edited = await call(client, "update_briefing", text="# Now\n", base_version=known.version)
        assert edited["text"] == "# Now\n"

    try:
        talk(read)
    finally:
        held.close()
    talk(edit)


def test_a_defect_of_ours_is_not_told_to_the_agent(
    talk: Talk, memory: SharedMemory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(memory, "do", fail)

    async def work(client: Client) -> str:
        return await refusal(client, "append_log", text="x")

    assert "secret" not in talk(work)
    assert "secret inside" in caplog.text


def test_a_call_whose_server_went_away_is_sent_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = SharedMemory(settings)
    tried = []

    def work(now: object) -> str:
        tried.append(now)
        if len(tried) < 3:
            raise BackendUnreachable("gone")
        return "done"

    assert memory.do(work) == "done"
    with pytest.raises(BackendUnreachable):
        memory.do(lambda now: tried.clear() or work(now), repeatable=False)
    assert len(tried) == 1


def test_the_data_folder_is_made_for_its_owner_only(talk: Talk, settings: Settings) -> None:
    async def work(client: Client) -> None:
        await call(client, "append_log", text=json.dumps("x"))

    talk(work)
    assert settings.data.stat().st_mode & 0o777 == 0o700

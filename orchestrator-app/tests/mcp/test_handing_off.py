"""Agents end a session: with the SDK's own client, alone on the data folder and beside a server."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from shared_context.conversations.store import ConversationStore
from support.command_line import fresh_user, serving
from support.mcp_clients import call, over_stdio, refusal

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"
SAID = ("We decided to paint the lamp blue. TODO: buy paint.", "Fine.")

pytestmark = pytest.mark.slow

Work = Callable[[Client], Coroutine[Any, Any, None]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    house = tmp_path / "data" / "context" / "house"
    house.mkdir(parents=True)
    (house / BRIEFING).write_text("# House\n\n## Next\n\n- sweep\n")
    say(tmp_path / "data", *SAID)
    return tmp_path / "data"


@pytest.fixture(params=["alone", "served"])
def talk(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Iterator[Callable[[Work], None]]:
    env = fresh_user(tmp_path)

    def run(work: Work) -> None:
        async def connected() -> None:
            async with over_stdio(env) as client:
                await work(client)

        anyio.run(connected)

    with serving(env) if request.param == "served" else nullcontext():
        yield run


def say(data: Path, *texts: str, conversation: str = "lamps") -> None:
    with ConversationStore.open(data / "memory.db") as store:
        store.create(conversation)
        for number, text in enumerate(texts):
            store.add_message(conversation, "assistant" if number % 2 else "user", text)


def drafted(draft: dict[str, Any], name: str) -> dict[str, Any]:
    return next(document for document in draft["documents"] if document["name"] == name)


def fields(draft: dict[str, Any], **changes: Any) -> dict[str, Any]:
    edits = [
        {name: document[name] for name in ("name", "text", "base_version")}
        for document in draft["documents"]
        if document["diff"]
    ]
    names = ("conversation_id", "entry_id", "entry")
    return {**{name: draft[name] for name in names}, "documents": edits, **changes}


def test_a_session_is_drafted_mended_and_stored_once(talk: Callable[[Work], None], data: Path) -> None:
    async def work(client: Client) -> None:
        before = await call(client, "read_document", name=BRIEFING)
        draft = await call(client, "draft_handoff")
        assert draft["conversation_id"] == "lamps"
        assert "- We decided to paint the lamp blue." in draft["entry"]
        assert "+- [ ] buy paint." in drafted(draft, BRIEFING)["diff"]
        assert drafted(draft, BRIEFING)["base_version"] == before["version"]
        assert await call(client, "read_document", name=BRIEFING) == before

        say(data, "And what about the shade?")
        mended = fields(draft)
        for edit in mended["documents"]:
            edit["text"] = edit["text"].replace("buy paint", "buy blue paint")
        done = await call(client, "confirm_handoff", **mended)
        assert (done["merged"], done["repeated"]) == ([], False)
        log = await call(client, "read_document", name=LOG)
        briefing = await call(client, "read_document", name=BRIEFING)
        assert (log["version"], briefing["version"]) == (done["log_version"], done["versions"][BRIEFING])
        assert "buy blue paint" in briefing["text"]
        assert (await call(client, "confirm_handoff", **mended))["repeated"]
        rest = await call(client, "draft_handoff", conversation_id="lamps")
        assert "And what about the shade?" in rest["entry"] and "blue" not in rest["entry"]

    talk(work)


def test_the_documents_may_stay_and_another_projects_log_be_meant(talk: Callable[[Work], None]) -> None:
    async def work(client: Client) -> None:
        draft = await call(client, "draft_handoff", project="house")
        assert drafted(draft, BRIEFING)["base_text"] == "# House\n\n## Next\n\n- sweep\n"
        given = {"conversation_id": "lamps", "entry_id": draft["entry_id"], "entry": "Blue it is."}
        done = await call(client, "confirm_handoff", project="house", **given)
        assert done["versions"] == {}
        assert "Blue it is." in (await call(client, "read_document", name=LOG, project="house"))["text"]
        assert "Blue it is." not in (await call(client, "read_document", name=LOG))["text"]

    talk(work)


def test_what_cannot_be_stored_says_why_and_what_to_do(talk: Callable[[Work], None], data: Path) -> None:
    async def work(client: Client) -> None:
        draft = await call(client, "draft_handoff")
        stale = [{"name": BRIEFING, "text": "x", "base_version": "0123456789ab"}]
        told = await refusal(client, "confirm_handoff", **fields(draft, documents=stale))
        assert "Ask for the draft again" in told
        told = await refusal(client, "confirm_handoff", **fields(draft, entry_id="another"))
        assert "Ask for the draft again" in told
        told = await refusal(client, "confirm_handoff", **fields(draft, entry=""))
        assert "at least 1 character" in told
        told = await refusal(client, "draft_handoff", conversation_id="nowhere")
        assert "no conversation" in told
        await call(client, "confirm_handoff", **fields(draft))
        assert "since its last handoff" in await refusal(client, "draft_handoff")

    talk(work)


def test_items_are_listed_settled_and_forgotten(talk: Callable[[Work], None]) -> None:
    async def work(client: Client) -> None:
        await call(client, "confirm_handoff", **fields(await call(client, "draft_handoff")))
        items = {item["text"]: item for item in (await call(client, "list_items"))["items"]}
        settled = await call(client, "settle_item", item_id=items["buy paint."]["item_id"], outcome="done")
        assert settled["section"] == "next"
        decision = next(item for text, item in items.items() if "blue" in text)
        await call(client, "edit_item", item_id=decision["item_id"], text="The lamp is green.")
        assert "green" in (await call(client, "read_document", name="PROJECT_CONTEXT.md"))["text"]
        await call(client, "forget_item", item_id=decision["item_id"])
        assert (await call(client, "list_items"))["items"] == []
        assert "No item" in await refusal(client, "forget_item", item_id="nothere1")

    talk(work)

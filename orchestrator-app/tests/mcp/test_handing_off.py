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


def fields(draft: dict[str, Any], **changes: Any) -> dict[str, Any]:
    names = ("conversation_id", "entry_id", "entry", "briefing", "base_version")
    return {name: draft[name] for name in names} | changes


def test_a_session_is_drafted_mended_and_stored_once(talk: Callable[[Work], None], data: Path) -> None:
    async def work(client: Client) -> None:
        before = await call(client, "read_document", name=BRIEFING)
        draft = await call(client, "draft_handoff")
        assert draft["conversation_id"] == "lamps"
        assert "- We decided to paint the lamp blue." in draft["entry"]
        assert "+- TODO: buy paint." in draft["diff"]
        assert draft["base_version"] == before["version"]
        assert await call(client, "read_document", name=BRIEFING) == before

        say(data, "And what about the shade?")
        mended = fields(draft, briefing=draft["briefing"].replace("buy paint", "buy blue paint"))
        done = await call(client, "confirm_handoff", **mended)
        assert (done["merged"], done["repeated"]) == (False, False)
        log = await call(client, "read_document", name=LOG)
        briefing = await call(client, "read_document", name=BRIEFING)
        assert (log["version"], briefing["version"]) == (done["log_version"], done["briefing_version"])
        assert "buy blue paint" in briefing["text"]
        assert (await call(client, "confirm_handoff", **mended)) == {**done, "repeated": True}
        rest = await call(client, "draft_handoff", conversation_id="lamps")
        assert "And what about the shade?" in rest["entry"] and "blue" not in rest["entry"]

    talk(work)


def test_the_briefing_may_stay_and_another_projects_log_be_meant(talk: Callable[[Work], None]) -> None:
    async def work(client: Client) -> None:
        draft = await call(client, "draft_handoff", project="house")
        assert draft["briefing"].startswith("# House\n\n## Next\n\n- sweep\n")
        given = {"conversation_id": "lamps", "entry_id": draft["entry_id"], "entry": "Blue it is."}
        done = await call(client, "confirm_handoff", project="house", **given)
        assert done["briefing_version"] is None
        assert "Blue it is." in (await call(client, "read_document", name=LOG, project="house"))["text"]
        assert "Blue it is." not in (await call(client, "read_document", name=LOG))["text"]

    talk(work)


def test_what_cannot_be_stored_says_why_and_what_to_do(talk: Callable[[Work], None], data: Path) -> None:
    async def work(client: Client) -> None:
        draft = await call(client, "draft_handoff")
        told = await refusal(client, "confirm_handoff", **fields(draft, base_version=None))
        assert "base_version" in told
        told = await refusal(client, "confirm_handoff", **fields(draft, base_version="0123456789ab"))
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

"""What an agent writes carries its program's name, also through a running server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import anyio
import pytest
from ai_orchestrator.mcp.client import usable
from ai_orchestrator.mcp.server import create_server
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp.types import Implementation
from orchestrator_core.settings import Settings
from shared_context.documents.log_entry import check_author
from support.command_line import fresh_user, serving
from support.mcp_clients import call

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"


@pytest.fixture(params=["alone", pytest.param("served", marks=pytest.mark.slow)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    with serving(fresh_user(tmp_path)) if request.param == "served" else nullcontext():
        yield Settings(data=tmp_path / "data")


def test_entries_edits_and_resolved_conflicts_name_the_client(settings: Settings) -> None:
    async def work() -> list[dict[str, object]]:
        red, blue = (Implementation(name=name, version="1") for name in ("Red/Pen (beta)", "<!-- -->"))
        async with (
            Client(create_server(settings), client_info=red) as client,
            Client(create_server(settings), client_info=blue) as other,
        ):
            await call(client, "append_log", text="Painted.")
            assert "UTC · Red Pen beta <!--" in (await call(client, "read_document", name=LOG))["text"]
            start = (await call(client, "read_document", name=BRIEFING))["version"]
            base = await call(client, "update_briefing", text="# Now\n\nplan\n", base_version=start)
            edited = "# Now\n\nplan A\n"
            await call(client, "update_document", name=BRIEFING, text=edited, base_version=base["version"])
            both = await call(
                other, "update_briefing", text="# Now\n\nplan B\n", base_version=base["version"]
            )
            (conflict,) = both["conflicts"]
            assert {one["author"] for one in conflict["sides"]} == {"Red Pen beta", "desktop"}
            await call(client, "resolve_conflict", conflict_id=conflict["conflict_id"], text="plan C")
            return (await call(client, "list_documents"))["documents"]

    by_name = {one["name"]: one["author"] for one in anyio.run(work)}
    assert (by_name[BRIEFING], by_name[LOG], by_name["PROJECT_CONTEXT.md"]) == (
        "Red Pen beta",
        "Red Pen beta",
        "desktop",
    )


@given(st.text())
def test_whatever_a_client_calls_itself_is_usable_or_nothing(name: str) -> None:
    made = usable(name)
    assert made is None or check_author(made) == made

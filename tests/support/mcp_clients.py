"""The MCP SDK's own client, talking to `orchestrator mcp` in a process of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from support.command_line import COMMAND, serving

PATIENCE_S = 60.0


@asynccontextmanager
async def over_stdio(env: Mapping[str, str], errors: Path | None = None) -> AsyncIterator[Client]:
    """A client of a process of its own, which ends with the block.

    Args:
        errors: where its standard error goes.
    """
    server = StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], "mcp"], env=dict(env))
    with (errors or Path(os.devnull)).open("w") as log:
        async with Client(stdio_client(server, errlog=log), read_timeout_seconds=PATIENCE_S) as client:
            yield client


@asynccontextmanager
async def over_http(url: str, key: str | None = None) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


def listening(env: Mapping[str, str], *arguments: str) -> AbstractContextManager[str]:
    """`orchestrator mcp --http` on a free port; gives its address."""
    return serving(env, *arguments, command=("mcp", "--http"), says_on="stderr")


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured result of a tool that must succeed."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    """What a tool that must fail tells."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    return result.content[0].text


__all__ = ["call", "listening", "over_http", "over_stdio", "refusal"]

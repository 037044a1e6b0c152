"""The MCP SDK's own client, talking to `orchestrator mcp` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from support.command_line import COMMAND

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


@contextmanager
def listening(env: Mapping[str, str], *arguments: str) -> Iterator[str]:
    """`orchestrator mcp --http` on a free port; gives its address."""
    server = subprocess.Popen(
        [*COMMAND, "mcp", "--http", "--port", "0", *arguments],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    try:
        said = ""
        while "listens on " not in said:
            line = server.stderr.readline()
            assert line, f"The server ended: {said}"
            said += line
        yield said.split("listens on ")[1].split()[0]
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=PATIENCE_S)


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

"""The two transports in real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
import requests
from mcp import Client
from support.command_line import COMMAND, fresh_user, orchestrator, run
from support.mcp_clients import call, listening, over_http, over_stdio

pytestmark = pytest.mark.slow

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
HEADERS = {"Accept": "application/json, text/event-stream"}


def say_hello(url: str, **headers: str) -> requests.Response:
    return requests.post(url, json=HELLO, headers={**HEADERS, **headers}, timeout=30)


def test_standard_output_carries_nothing_but_the_protocol(tmp_path: Path) -> None:
    env = {**fresh_user(tmp_path), "ORCHESTRATOR_LOG_LEVEL": "DEBUG"}
    lines = [
        json.dumps(HELLO),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        "this is no JSON",
        json.dumps(
            {
                "jsonrpc": "2.0",
                "id": 2,
                "method": "tools/call",
                "params": {"name": "append_log", "arguments": {"text": "half \ud800 a character"}},
            }
        ),
        json.dumps(
            {
                "jsonrpc": "2.0",
                "id": 3,
                "method": "tools/call",
                "params": {"name": "append_log", "arguments": {"text": "whole"}},
            }
        ),
    ]
    answers: dict[Any, Any] = {}
    with subprocess.Popen(
        [*COMMAND, "mcp"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("\n".join(lines) + "\n")
        process.stdin.flush()
        while 3 not in answers:
            line = process.stdout.readline()
            assert line
            answer = json.loads(line)
            answers[answer.get("id")] = answer
        process.stdin.close()
        for line in process.stdout.read().splitlines():
            json.loads(line)
        assert process.wait(30) == 0
    assert answers[1]["result"]["serverInfo"]["name"] == "orchestrator"
    assert answers[3]["result"]["isError"] is False
    log = (tmp_path / "data" / "context" / "SESSION_LOG.md").read_text("utf-8")
    assert "whole" in log and "half" not in log


def test_a_client_over_http_has_the_same_tools(tmp_path: Path) -> None:
    env = fresh_user(tmp_path)

    async def work(url: str) -> None:
        async with over_http(url) as red, over_http(url) as blue, anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(append, red, f"red {number}")
                group.start_soon(append, blue, f"blue {number}")
        async with over_http(url) as client, over_stdio(env) as other:
            text = (await call(client, "read_document", name="SESSION_LOG.md"))["text"]
            assert text.count("<!-- entry:") == 20
            assert text == (await call(other, "read_document", name="SESSION_LOG.md"))["text"]
            assert len((await client.list_resources()).resources) == 4

    async def append(client: Client, text: str) -> None:
        await call(client, "append_log", text=text)

    with listening(env) as url:
        assert url.startswith("http://127.0.0.1:") and url.endswith("/mcp")
        anyio.run(work, url)


def test_only_this_machines_names_and_pages_may_call(tmp_path: Path) -> None:
    env = {**fresh_user(tmp_path), "ORCHESTRATOR_ALLOWED_ORIGINS": "app://obsidian.md"}
    with listening(env) as url:
        port = url.split(":")[2].split("/")[0]
        assert say_hello(url).status_code == 200
        assert say_hello(url, Host=f"localhost:{port}").status_code == 200
        foreign = say_hello(url, Host="evil.example:80")
        assert foreign.status_code == 403
        assert foreign.json()["error"]["code"] == "foreign_host"
        assert say_hello(url, Origin="https://evil.example").status_code == 403
        assert say_hello(url, Origin=f"http://127.0.0.1:{port}").status_code == 200
        allowed = say_hello(url, Origin="app://obsidian.md")
        assert allowed.status_code == 200
        assert allowed.headers["Access-Control-Allow-Origin"] == "app://obsidian.md"
        asked = {"Origin": "app://obsidian.md", "Access-Control-Request-Method": "POST"}
        preflight = requests.options(url, headers=asked, timeout=30)
        assert preflight.status_code == 204 and "POST" in preflight.headers["Access-Control-Allow-Methods"]
        large = requests.post(url, data=b" " * (10 * 1024 * 1024), headers=HEADERS, timeout=30)
        assert large.status_code in (400, 413)
        assert requests.get(url.replace("/mcp", "/elsewhere"), timeout=30).status_code == 404


def test_a_key_is_asked_for_when_one_is_set(tmp_path: Path) -> None:
    env = {**fresh_user(tmp_path), "ORCHESTRATOR_API_KEY": "long-secret"}

    async def work(url: str) -> None:
        async with over_http(url, key="long-secret") as client:
            await call(client, "append_log", text="with the key")

    with listening(env) as url:
        assert say_hello(url).status_code == 401
        wrong = say_hello(url, Authorization="Bearer wrong")
        assert wrong.status_code == 401 and wrong.headers["WWW-Authenticate"] == "Bearer"
        assert say_hello(url, Authorization="Bearer long-secret").status_code == 200
        anyio.run(work, url)
        for _ in range(12):
            refused = say_hello(url, Authorization="Bearer guess")
        assert refused.status_code == 429 and int(refused.headers["Retry-After"]) > 0


def test_an_open_address_without_a_key_is_refused(tmp_path: Path) -> None:
    done = orchestrator(fresh_user(tmp_path), "mcp", "--http", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 3
    assert "API key" in done.stderr and done.stdout == ""


def test_options_of_http_without_http_are_wrong_usage(tmp_path: Path) -> None:
    done = orchestrator(fresh_user(tmp_path), "mcp", "--port", "5001")
    assert done.returncode == 2 and "--http" in done.stderr


def test_without_the_package_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['mcp'] = None; from ai_orchestrator.cli import main; main()"
    done = run([sys.executable, "-c", code, "mcp"], fresh_user(tmp_path))
    assert done.returncode == 3
    assert "orchestrator install mcp`" in done.stderr and "Traceback" not in done.stderr

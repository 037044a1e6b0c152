"""The VPS's process dies while it passes an answer on: the client comes back at its offset."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from ai_orchestrator.server import Server
from support import vps_child
from support.desktop import listening
from support.scripted import ENVIRONMENT, Gate, Reply, ScriptedBackend
from support.scripted.script import words

WAIT = 20.0
DESKTOP_SAYS = "The desktop knows: a seam is where 🦜 another one goes on."
TOKENS = words(DESKTOP_SAYS)


class Client:
    """A browser: keeps the text by offsets, and discards what a seam says was lost."""

    def __init__(self) -> None:
        self.offset = 0
        self.tokens: list[tuple[int, str]] = []
        self.seams: list[dict[str, Any]] = []
        self.done: dict[str, Any] = {}
        self.run_id = ""

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.tokens)

    def follow(self, response: requests.Response, most: int = 10_000) -> None:
        """Until the stream ends, or so many events have come."""
        self.run_id = response.headers.get("X-Run-Id", self.run_id)
        event, offset = "", 0
        for line in response.iter_lines(chunk_size=1):
            text = line.decode()
            name, _, value = text.partition(": ")
            if name == "id":
                event, offset = "", int(value)
            elif name == "event":
                event = value
            elif name == "data":
                self._see(event, offset, json.loads(value))
                most -= 1
                if most == 0:
                    return

    def _see(self, event: str, offset: int, data: dict[str, Any]) -> None:
        assert offset > self.offset
        self.offset = offset
        if event == "seam":
            self.seams.append(data)
            self.tokens = [one for one in self.tokens if one[0] <= data.get("from", offset)]
        elif "token" in data:
            self.tokens.append((offset, data["token"]))
        else:
            self.done = data


@contextmanager
def vps(data: Path, desktop_url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "support.vps_child", str(data), desktop_url],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ENVIRONMENT["PYTHONPATH"]},
    )
    try:
        assert child.stdout is not None
        yield child, child.stdout.readline().strip()
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def desktop(tmp_path: Path, gate: Gate) -> Iterator[Server]:
    backend = ScriptedBackend(
        [Reply(when="slow", text=DESKTOP_SAYS, gate=gate)], otherwise=DESKTOP_SAYS, name="large"
    )
    with listening(tmp_path / "desktop", backend) as server:
        yield server


def ask(url: str, message: str, **fields: Any) -> requests.Response:
    body = {"message": message, **fields}
    response = requests.post(f"{url}/chat/stream", json=body, stream=True, timeout=WAIT)
    assert response.status_code == 200, response.text
    return response


def again(url: str, client: Client) -> requests.Response:
    address = f"{url}/runs/{client.run_id}/stream?from={client.offset}"
    response = requests.get(address, stream=True, timeout=WAIT)
    assert response.status_code == 200, response.text
    return response


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [1, 4, len(TOKENS) - 1])
def test_killed_in_mid_answer_it_finds_the_desktops_answer_again(
    tmp_path: Path, desktop: Server, gate: Gate, tokens: int
) -> None:
    client = Client()
    with vps(tmp_path / "vps", desktop.url) as (_, url):
        gate.allow(tokens)
        client.follow(ask(url, "slow?", message_id="m-1"), tokens)
        assert client.text == "".join(TOKENS[:tokens])
    with vps(tmp_path / "vps", desktop.url) as (_, url):
        stream = again(url, client)
        gate.open()
        client.follow(stream)
        assert client.text == client.done["response"] == DESKTOP_SAYS
        assert (client.done["tier"], client.done["model"]) == ("desktop", "large")
        (seam,) = client.seams
        assert (seam["tier"], seam["model"]) == ("desktop", "large")
        here = requests.get(f"{url}/conversation", timeout=WAIT).json()["history"]
        there = requests.get(f"{desktop.url}/conversation", timeout=WAIT).json()["history"]
        assert [one["message_id"] for one in here] == [one["message_id"] for one in there]
        assert here[-1]["content"] == DESKTOP_SAYS
        asked_again = Client()
        asked_again.follow(ask(url, "slow?", message_id="m-1"))
        assert asked_again.text == DESKTOP_SAYS


@pytest.mark.slow
def test_what_the_desktop_finished_meanwhile_is_taken_over(
    tmp_path: Path, desktop: Server, gate: Gate
) -> None:
    client = Client()
    with vps(tmp_path / "vps", desktop.url) as (_, url):
        gate.allow(3)
        client.follow(ask(url, "slow?"), 3)
    gate.open()
    desktop.services.assistant.runs.get(client.run_id).wait(WAIT)
    with vps(tmp_path / "vps", desktop.url) as (_, url):
        client.follow(again(url, client))
    assert client.text == client.done["response"] == DESKTOP_SAYS
    assert client.done["tier"] == "desktop"


@pytest.mark.slow
def test_when_the_desktop_is_gone_as_well_the_vps_goes_on(
    tmp_path: Path, desktop: Server, gate: Gate
) -> None:
    client = Client()
    with vps(tmp_path / "vps", desktop.url) as (_, url):
        gate.allow(3)
        client.follow(ask(url, "slow?"), 3)
    desktop.stop(drain_s=0)
    gate.open()
    with vps(tmp_path / "vps", desktop.url) as (_, url):
        client.follow(again(url, client))
    told = client.done
    assert client.text == told["response"]
    assert client.text in {"".join(TOKENS[:kept]) + vps_child.SAYS for kept in range(4)}
    assert told["tier"] == "vps"
    assert "lost in mid-answer" in told["reason"] or "lost before it said anything" in told["reason"]

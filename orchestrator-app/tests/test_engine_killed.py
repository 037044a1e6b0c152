"""`kill -9` of the engine while clients listen over HTTP: everyone ends with the one whole answer."""

import os
import random
import signal
import threading

import psutil
import pytest
import requests
from ai_orchestrator.server import Server
from gguf_scripted import scripted_model
from orchestrator_core.settings import Settings
from support.desktop import events
from support.processes import ENGINE, children
from support.waiting import wait_until

pytestmark = pytest.mark.slow

SENTENCE = (
    "A relay keeps one line open, so that 🦜 no door at home has to be. "
    "Quick foxes jump over lazy dogs; wörter wie Öl und 日本語 stay whole in every token."
)
KILLS = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    model = scripted_model(data / "scripted.gguf", SENTENCE)
    settings = Settings.model_validate(
        {
            "data": data,
            "model": {"path": str(model)},
            "generation": {"greedy": True, "max_new_tokens": 400, "repetition_penalty": 1.0},
            "server": {"port": 0, "threads": 16},
            "engine": {"threads": 1, "save_prefix": False},
        }
    )
    with Server(settings) as running:
        running.services.model.ensure(120)
        yield running


def engine():
    """The engine's process; None while it is gone."""
    return next((child for child, command in children(psutil.Process()) if ENGINE in command), None)


def follow(server, run_id, texts):
    found = events(requests.get(f"{server.url}/runs/{run_id}/stream", timeout=120).text)
    texts.append(("".join(one["data"].get("token", "") for one in found), found[-1]))


@pytest.mark.parametrize("kill", range(KILLS))
def test_every_client_ends_with_one_complete_answer(server, kill):
    at = random.Random(kill).randint(1, 120)
    requests.delete(f"{server.url}/conversation", timeout=60)
    with requests.post(
        f"{server.url}/chat/stream", json={"message": "Say it."}, stream=True, timeout=120
    ) as mine:
        run_id = mine.headers["X-Run-Id"]
        texts = []
        other = threading.Thread(target=follow, args=(server, run_id, texts))
        other.start()
        raw = ""
        killed = False
        for piece in mine.iter_content(None):
            raw += piece.decode("utf-8", "surrogateescape")
            if not killed and raw.count("\nid: ") >= at:
                killed = True
                victim = engine()
                os.kill(victim.pid, signal.SIGKILL)
        other.join(120)
    raw = raw.encode("utf-8", "surrogateescape").decode()
    found = events(raw)
    mine_text = "".join(one["data"].get("token", "") for one in found)
    assert mine_text == SENTENCE
    assert [text for text, _ in texts] == [SENTENCE]
    assert found[-1]["data"]["done"] is True and found[-1]["data"]["response"] == SENTENCE
    assert [one["id"] for one in found] == sorted({one["id"] for one in found})
    history = requests.get(f"{server.url}/conversation", timeout=60).json()["history"]
    assert [message["content"] for message in history] == ["Say it.", SENTENCE]


def test_the_kills_were_seen(server):
    """Or the test above could pass because every answer was over before its kill."""
    wait_until(engine)
    metrics = requests.get(f"{server.url}/metrics", timeout=60).text
    (line,) = [one for one in metrics.splitlines() if one.startswith("orchestrator_engine_restarts_total ")]
    assert float(line.split()[1]) >= KILLS / 2

"""Which model a name means: the same in every route of every contract."""

from __future__ import annotations

import pytest
from support.desktop import desk
from support.scripted import ScriptedBackend

SAID = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with desk(tmp_path_factory.mktemp("desk"), ScriptedBackend(otherwise="Hello.", name="real")) as here:
        yield here


def is_assistant(here, path, body):
    """Whether the answer was stored."""
    before = [one.updated_at for one in here.services.assistant.conversations.list()]
    answer = here.client.post(path, json=body)
    assert answer.status_code == 200, answer.json
    return [one.updated_at for one in here.services.assistant.conversations.list()] != before


@pytest.mark.parametrize(
    ("name", "assistant"),
    [
        ("real", False),
        ("gpt-4o", False),
        ("another/model", False),
        ("orchestrator-2", False),
        ("real:latest", False),
        ("orchestrator", True),
        ("orchestrator:latest", True),
    ],
)
def test_a_name_means_the_same_model_everywhere(here, name, assistant):
    chats = {
        "/v1/chat/completions": {"messages": SAID},
        "/v1/responses": {"input": "Hi"},
        "/v1/messages": {"messages": SAID, "max_tokens": 9},
        "/api/chat": {"messages": SAID, "stream": False},
        "/api/generate": {"prompt": "Hi", "stream": False},
    }
    asked = {path: is_assistant(here, path, {"model": name, **body}) for path, body in chats.items()}
    assert asked == dict.fromkeys(chats, assistant)
    assert here.client.get(f"/v1/models/{name}").json["id"] == ("orchestrator" if assistant else "real")
    shown = here.client.post("/api/show", json={"model": name}).json
    assert shown["model_info"]["general.basename"] == "real"
    assert ("tools" in shown["capabilities"]) is not assistant

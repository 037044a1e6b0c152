"""A deleted conversation is gone: from prompts, index, receipts, titles, registers, runs and the files themselves."""

import pytest
from orchestrator_core.chat_request import ChatRequest
from support.desktop import desk
from support.scripted import Gate, Reply, ScriptedBackend
from support.waiting import wait_until

WORD = "xylophonist"
"""Said nowhere else."""
ELSEWHERE = "Where did I hide the walnut box?"


@pytest.fixture
def here(tmp_path):
    backend = ScriptedBackend(otherwise=f"My aunt is the {WORD} of a band.")
    with desk(tmp_path / "data", backend) as opened:
        yield opened


def traces(data, word=WORD):
    """The files that hold a word, whatever its case."""
    files = [file for file in data.rglob("*") if file.is_file() and file.suffix != ".log"]
    return {file.name for file in files if word.encode() in file.read_bytes().lower()}


def test_nothing_is_left_of_it_when_deleting_answers(here, tmp_path):
    here.client.post("/conversations", json={"conversation_id": "secret", "title": f"My {WORD}"})
    told = here.ask(f"I hid the walnut box behind the {WORD}.", conversation_id="secret")
    here.backend.enqueue("Behind somebody.")
    recalling = here.ask(ELSEWHERE)
    assert WORD in recalling["receipt"]["retrieved"][0]["text"]
    assert traces(tmp_path / "data") >= {"memory.db-wal"}
    assert here.client.delete("/conversations/secret").status_code == 200
    assert traces(tmp_path / "data") == set()
    for run_id in (told["run_id"], recalling["run_id"]):
        assert here.client.get(f"/runs/{run_id}").status_code == 404
    here.backend.enqueue("I do not know.")
    again = here.ask(ELSEWHERE)
    assert WORD not in here.backend.calls[-1].prompt.text and WORD not in str(again["receipt"])
    assert here.client.get(f"/search?q={WORD}").json["results"] == []
    # The answer that was made with it stays, and can be read again.
    answer = here.client.get("/conversation").json["history"][1]
    assert answer["content"] == "Behind somebody." and WORD not in str(answer["receipt"])


def test_the_default_conversation_is_emptied_the_same_way(here, tmp_path):
    here.client.patch("/conversations/default", json={"title": f"My {WORD}"})
    here.ask("Who is she?")
    assert here.client.delete("/conversations/default").status_code == 200
    assert traces(tmp_path / "data") == set()
    assert here.client.get("/conversation").json["title"] == ""


def test_an_answer_under_way_is_forgotten_as_well(here, tmp_path):
    gate = Gate()
    gate.allow(5)
    here.backend.enqueue(Reply(text=f"It is the {WORD} who sings.", gate=gate))
    here.client.post("/conversations", json={"conversation_id": "secret"})
    run = here.services.assistant.ask(ChatRequest(message="Who?", conversation_id="secret"))
    assert gate.wait_blocked()
    assert here.client.delete("/conversations/secret").status_code == 200
    wait_until(lambda: here.client.get(f"/runs/{run.run_id}").status_code == 404)
    wait_until(lambda: traces(tmp_path / "data") == set())

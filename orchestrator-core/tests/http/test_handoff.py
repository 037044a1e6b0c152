"""`/handoff`: draft and confirmation over HTTP."""

from __future__ import annotations

import pytest
from orchestrator_core.errors import ModelUnusable
from support.desktop import desk
from support.scripted import Reply, ScriptedBackend

SAID = "ok so we'll go with SQLite 3.45 for the queue. TODO: write docs/queue.md"


@pytest.fixture
def here(tmp_path):
    with desk(tmp_path) as found:
        yield found


def confirmed(draft, **changes):
    body = {
        "conversation_id": draft["conversation_id"],
        "entry_id": draft["entry_id"],
        "sources": draft["sources"],
        "entry": draft["entry"],
        "briefing": draft["briefing"]["text"],
        "base_version": draft["briefing"]["base_version"],
    }
    return {**body, **changes}


def refused(response, status, said, code=None):
    assert response.status_code == status, response.get_data(as_text=True)
    error = response.json["error"]
    assert said in error["message"], error
    assert code is None or error["code"] == code


def test_a_session_ends_with_an_entry_and_a_briefing(here):
    here.client.post("/chat", json={"message": SAID})
    draft = here.client.post("/handoff", json={}).json
    assert "- TODO: write docs/queue.md" in draft["entry"]
    assert draft["briefing"]["diff"].startswith("--- SESSION_BRIEFING.md (now)")
    assert "TODO" not in here.client.get("/context/SESSION_LOG.md").json["text"]

    done = here.client.post("/handoff/confirm", json=confirmed(draft))
    assert done.status_code == 200
    log = here.client.get("/context/SESSION_LOG.md").json
    briefing = here.client.get("/context/SESSION_BRIEFING.md").json
    assert (done.json["log_version"], done.json["briefing_version"]) == (log["version"], briefing["version"])
    assert "- TODO: write docs/queue.md" in log["text"]
    assert briefing["text"] == draft["briefing"]["text"]
    assert here.client.post("/handoff/confirm", json=confirmed(draft)).json == {**done.json, "repeated": True}
    refused(here.client.post("/handoff", json={}), 409, "since its last handoff", "nothing_to_hand_off")


def test_a_session_may_end_in_another_projects_documents(here):
    house = here.services.settings.context_folder / "house"
    house.mkdir()
    (house / "SESSION_BRIEFING.md").write_text("# House\n")
    here.client.post("/chat", json={"message": SAID})
    before = here.client.get("/context").json
    draft = here.client.post("/handoff", json={"project": "house"}).json
    assert draft["briefing"]["base_text"] == "# House\n"
    body = confirmed(draft, project="house")
    del body["sources"]
    done = here.client.post("/handoff/confirm", json=body, headers={"X-Author": "red pen"}).json
    log = here.client.get("/context/SESSION_LOG.md?project=house").json
    assert log["version"] == done["log_version"] and "· red pen <!--" in log["text"]
    assert here.client.get("/context").json == before
    for path in ("/handoff", "/handoff/confirm"):
        refused(here.client.post(path, json={**body, "project": "hous"}), 404, "'hous'")


def test_the_model_of_the_next_session_reads_what_was_confirmed(here):
    here.client.post("/chat", json={"message": SAID})
    here.client.post("/handoff/confirm", json=confirmed(here.client.post("/handoff", json={}).json))
    other = here.client.post("/conversations", json={}).json["conversation_id"]
    prompt = here.client.get(f"/context/preview?message=Hi&conversation_id={other}").json["prompt"]
    assert prompt.count("TODO: write docs/queue.md") >= 2
    assert "from sessions" not in prompt


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"conversation_id": "nowhere"}, 404, "no conversation"),
        ({"conversation_id": ""}, 400, "'conversation_id'"),
        ({"conversation_id": 7}, 400, "'conversation_id'"),
        ({"improve": "yes"}, 400, "'improve'"),
        ({}, 409, "Nothing was said"),
    ],
)
def test_drafts_that_cannot_be_made(here, body, status, said):
    refused(here.client.post("/handoff", json=body), status, said)


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"entry_id": None}, 400, "'entry_id'"),
        ({"entry_id": "a--b"}, 400, "'entry_id'"),
        ({"entry_id": "x" * 65}, 400, "'entry_id'"),
        ({"sources": []}, 400, "'sources'"),
        ({"sources": ["unknown"]}, 400, "no message of this conversation"),
        ({"sources": "m1"}, 400, "'sources'"),
        ({"entry": ""}, 400, "'entry'"),
        ({"entry": " \n"}, 400, "empty"),
        ({"entry": 5}, 400, "'entry'"),
        ({"briefing": 5}, 400, "'briefing'"),
        ({"base_version": "0123456789ab"}, 412, "no version"),
        ({"conversation_id": "nowhere"}, 404, "no conversation"),
    ],
)
def test_confirmations_that_cannot_be_stored(here, change, status, said):
    here.client.post("/chat", json={"message": SAID})
    draft = here.client.post("/handoff", json={}).json
    before = here.client.get("/context").json
    refused(here.client.post("/handoff/confirm", json=confirmed(draft, **change)), status, said)
    assert here.client.get("/context").json == before


class TestWording:
    @pytest.fixture
    def backend(self):
        def reply(prompt, config):
            if "numbered notes" not in prompt.text:
                return Reply(text="All right.")
            return Reply(text="1. We will go with SQLite 3.45 for the queue.\n2. TODO: write docs/lines.md")

        return ScriptedBackend(reply)

    def test_better_words_are_taken_and_changed_facts_are_not(self, tmp_path, backend):
        with desk(tmp_path, backend) as here:
            here.client.post("/chat", json={"message": SAID})
            draft = here.client.post("/handoff", json={"improve": True}).json
            assert "- We will go with SQLite 3.45 for the queue." in draft["entry"]
            assert "- TODO: write docs/queue.md" in draft["entry"]
            assert "docs/lines.md" not in draft["entry"] + draft["briefing"]["text"]
            assert draft["notes"] == ["1 of 2 lines were reworded; the rest is word for word."]
            plain = here.client.post("/handoff", json={}).json
            assert "- ok so we'll go with SQLite 3.45 for the queue." in plain["entry"]
            assert plain["entry_id"] == draft["entry_id"]

    def test_a_model_that_fails_costs_only_the_wording(self, tmp_path):
        with desk(
            tmp_path, ScriptedBackend([Reply(text="Fine."), Reply(refuse=ModelUnusable("It is broken."))])
        ) as here:
            here.client.post("/chat", json={"message": SAID})
            draft = here.client.post("/handoff", json={"improve": True})
            assert draft.status_code == 200
            assert "- TODO: write docs/queue.md" in draft.json["entry"]
            assert draft.json["notes"] == ["The model could not help with the wording: It is broken."]

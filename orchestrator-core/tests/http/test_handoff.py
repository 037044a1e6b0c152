"""`/handoff`: draft and confirmation over HTTP."""

from __future__ import annotations

import json

import pytest
from orchestrator_core.errors import ModelUnusable
from support.desktop import desk
from support.scripted import Reply, ScriptedBackend

SAID = "We decided on SQLite 3.45 for the queue. TODO: write docs/queue.md"


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
        "documents": [
            {name: document[name] for name in ("name", "text", "base_version")}
            for document in draft["documents"]
            if document["diff"]
        ],
    }
    return {**body, **changes}


def drafted(draft, name):
    return next(document for document in draft["documents"] if document["name"] == name)


def refused(response, status, said, code=None):
    assert response.status_code == status, response.get_data(as_text=True)
    error = response.json["error"]
    assert said in error["message"], error
    assert code is None or error["code"] == code


def test_a_session_ends_with_an_entry_and_a_briefing(here):
    here.client.post("/chat", json={"message": SAID})
    draft = here.client.post("/handoff", json={}).json
    assert "- write docs/queue.md" in draft["entry"]
    assert drafted(draft, "SESSION_BRIEFING.md")["diff"].startswith("--- SESSION_BRIEFING.md (now)")
    assert draft["items"][1]["quote"] == "TODO: write docs/queue.md"
    assert "queue" not in here.client.get("/context/SESSION_LOG.md").json["text"]

    done = here.client.post("/handoff/confirm", json=confirmed(draft))
    assert done.status_code == 200
    log = here.client.get("/context/SESSION_LOG.md").json
    briefing = here.client.get("/context/SESSION_BRIEFING.md").json
    assert done.json["log_version"] == log["version"]
    assert done.json["versions"]["SESSION_BRIEFING.md"] == briefing["version"]
    assert "- write docs/queue.md" in log["text"]
    assert briefing["text"] == drafted(draft, "SESSION_BRIEFING.md")["text"]
    again = here.client.post("/handoff/confirm", json=confirmed(draft)).json
    assert (again["repeated"], again["log_version"]) == (True, log["version"])
    refused(here.client.post("/handoff", json={}), 409, "since its last handoff", "nothing_to_hand_off")


def test_a_session_may_end_in_another_projects_documents(here):
    house = here.services.settings.context_folder / "house"
    house.mkdir()
    (house / "SESSION_BRIEFING.md").write_text("# House\n")
    here.client.post("/chat", json={"message": SAID})
    before = here.client.get("/context").json
    draft = here.client.post("/handoff", json={"project": "house"}).json
    assert drafted(draft, "SESSION_BRIEFING.md")["base_text"] == "# House\n"
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
    assert prompt.count("write docs/queue.md") >= 2
    assert "<!--" not in prompt


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"conversation_id": "nowhere"}, 404, "no conversation"),
        ({"conversation_id": ""}, 400, "'conversation_id'"),
        ({"conversation_id": 7}, 400, "'conversation_id'"),
        ({"use_model": "perhaps"}, 400, "'use_model'"),
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
        ({"documents": 5}, 400, "'documents'"),
        ({"documents": [{"name": "SESSION_LOG.md", "text": "x"}]}, 400, "no document that a handoff changes"),
        (
            {"documents": [{"name": "SESSION_BRIEFING.md", "text": "x", "base_version": "0123456789ab"}]},
            412,
            "no version",
        ),
        ({"conversation_id": "nowhere"}, 404, "no conversation"),
    ],
)
def test_confirmations_that_cannot_be_stored(here, change, status, said):
    here.client.post("/chat", json={"message": SAID})
    draft = here.client.post("/handoff", json={}).json
    before = here.client.get("/context").json
    refused(here.client.post("/handoff/confirm", json=confirmed(draft, **change)), status, said)
    assert here.client.get("/context").json == before


class TestModel:
    """A model proposes, and what it cannot quote is dropped."""

    ANSWER = {
        "items": [
            {"kind": "about_owner", "text": "Allergic to nuts.", "quote": "allergic to nuts", "message": 1},
            {"kind": "decided", "text": "The fence will be red.", "quote": "paint it red", "message": 1},
        ]
    }

    def test_only_what_it_quotes_is_drafted(self, tmp_path):
        backend = ScriptedBackend(
            lambda prompt, config: Reply(text=json.dumps(self.ANSWER) if config.json_schema else "Noted.")
        )
        with desk(tmp_path, backend) as here:
            here.services.settings.handoff.model = "always"
            here.client.post("/chat", json={"message": "By the way, I am allergic to nuts."})
            draft = here.client.post("/handoff", json={}).json
            assert [item["text"] for item in draft["items"]] == ["Allergic to nuts."]
            assert "- Allergic to nuts." in drafted(draft, "PORTFOLIO_CONTEXT.md")["text"]
            assert "red" not in json.dumps(draft)
            assert here.client.post("/handoff", json={"use_model": False}).json["items"] == []

    def test_a_model_that_fails_costs_only_its_proposals(self, tmp_path):
        replies = [Reply(text="Fine."), Reply(refuse=ModelUnusable("It is broken."))]
        with desk(tmp_path, ScriptedBackend(replies)) as here:
            here.services.settings.handoff.model = "always"
            here.client.post("/chat", json={"message": SAID})
            draft = here.client.post("/handoff", json={})
            assert draft.status_code == 200
            assert "- write docs/queue.md" in draft.json["entry"]
            assert draft.json["notes"] == ["2 messages were read without the model: It is broken."]


class TestItems:
    def test_items_are_listed_changed_and_settled(self, here):
        here.client.post("/chat", json={"message": SAID})
        draft = here.client.post("/handoff", json={}).json
        here.client.post("/handoff/confirm", json=confirmed(draft))
        items = {item["section"]: item for item in here.client.get("/memory").json["items"]}
        assert items["next"]["text"] == "write docs/queue.md"
        path = f"/memory/{items['next']['item_id']}"
        assert here.client.patch(path, json={"text": "write the docs"}).json["text"] == "write the docs"
        assert here.client.patch(path, json={"outcome": "done"}).status_code == 200
        refused(here.client.patch(path, json={"outcome": "done"}), 404, "No item")
        refused(here.client.patch(path, json={}), 400, "either a text or an outcome")
        refused(here.client.patch(path, json={"outcome": "later"}), 400, "'outcome'")
        refused(here.client.get("/memory?state=lost"), 400, "'state'")

    def test_a_dropped_decision_is_struck_in_the_document_and_not_read_by_the_model(self, here):
        here.client.post("/chat", json={"message": "Decision: the review is on Tuesday."})
        draft = here.client.post("/handoff", json={}).json
        here.client.post("/handoff/confirm", json=confirmed(draft))
        (item,) = [
            item for item in here.client.get("/memory").json["items"] if item["section"] == "decisions"
        ]
        here.client.patch(f"/memory/{item['item_id']}", json={"outcome": "dropped"})
        assert "~~" in here.client.get("/context/PROJECT_CONTEXT.md").json["text"]
        other = here.client.post("/conversations", json={}).json["conversation_id"]
        prompt = here.client.get(f"/context/preview?message=Hi&conversation_id={other}").json["prompt"]
        assert "the review is on Tuesday" not in prompt.partition("# Session log")[0]

    def test_a_forgotten_item_is_in_no_answer_of_the_server(self, here):
        here.client.post("/chat", json={"message": "Please remember that I am allergic to hazelnuts."})
        draft = here.client.post("/handoff", json={}).json
        here.client.post("/handoff/confirm", json=confirmed(draft))
        (item,) = here.client.get("/memory").json["items"]
        done = here.client.delete(f"/memory/{item['item_id']}?history=true")
        assert done.status_code == 200 and done.json["versions_rewritten"] > 0
        for path in (
            "/conversation",
            "/conversations",
            "/search?q=hazelnuts",
            "/memory",
            "/context/PORTFOLIO_CONTEXT.md",
            "/context/SESSION_LOG.md",
            "/context/preview?message=hi",
        ):
            body = here.client.get(path).get_data(as_text=True)
            assert "hazelnuts" not in body.replace('"q": "hazelnuts"', ""), path

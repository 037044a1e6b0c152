import threading

import pytest
from orchestrator_core.runs.run import Run
from support.desktop import desk
from support.scripted import Gate, Reply, ScriptedBackend


def test_a_conversation_that_is_being_answered_names_its_run(tmp_path):
    gate = Gate()
    with desk(tmp_path, ScriptedBackend([Reply(text="one two", gate=gate)])) as here:
        asking = threading.Thread(target=lambda: here.ask())
        asking.start()
        assert gate.wait_blocked()
        (run,) = here.services.assistant.runs.active()
        assert here.client.get("/conversations/default").json["active_run"] == run.run_id
        gate.open()
        asking.join(10)
        assert here.client.get("/conversations/default").json["active_run"] is None


def test_a_run_is_not_named_beside_the_answer_it_stored(tmp_path, monkeypatch):
    stored, go_on = threading.Event(), threading.Event()
    settle = Run.settle

    def settle_late(run, *told, **options):
        stored.set()
        assert go_on.wait(30)
        settle(run, *told, **options)

    monkeypatch.setattr(Run, "settle", settle_late)
    with desk(tmp_path, ScriptedBackend([Reply(text="one two")])) as here:
        asking = threading.Thread(target=lambda: here.ask())
        asking.start()
        assert stored.wait(30)
        assert len(here.services.assistant.runs.active()) == 1
        found = here.client.get("/conversations/default").json
        go_on.set()
        asking.join(30)
        assert [one["content"] for one in found["history"]][-1] == "one two"
        assert found["active_run"] is None


def test_clearing_stops_what_runs_and_leaves_nothing(tmp_path):
    gate = Gate()
    with desk(tmp_path, ScriptedBackend([Reply(text="one two", gate=gate)])) as here:
        asking = threading.Thread(target=lambda: here.ask())
        asking.start()
        gate.allow(1)
        assert gate.wait_blocked()
        cleared = here.client.delete("/conversation").json
        asking.join(10)
        assert cleared["history"] == [] and cleared["turn_count"] == 0
        assert here.client.get("/conversation").json["history"] == []


def test_many_conversations(here):
    made = here.client.post("/conversations", json={"title": "Plans"})
    assert made.status_code == 201
    conversation_id = made.json["conversation_id"]
    assert here.ask(conversation_id=conversation_id)["conversation_id"] == conversation_id
    listed = here.client.get("/conversations").json["conversations"]
    assert listed[0]["conversation_id"] == conversation_id and listed[0]["title"] == "Plans"
    renamed = here.client.patch(f"/conversations/{conversation_id}", json={"title": "Other"})
    assert renamed.json["title"] == "Other"
    assert here.client.get("/conversations?limit=1").json["conversations"] == [renamed.json]
    assert here.client.get("/conversation").json["history"] == []
    deleted = here.client.delete(f"/conversations/{conversation_id}").json
    assert deleted == {"conversation_id": conversation_id, "deleted": True}
    assert here.client.get(f"/conversations/{conversation_id}").status_code == 404


def test_a_conversation_can_be_begun_without_a_body(here):
    assert here.client.post("/conversations").status_code == 201


def test_saving_and_loading_a_conversation(here):
    here.ask("Remember this")
    saved = here.client.post("/conversation/save", json={}).json
    assert saved == {"filename": "conversation_history.json", "conversation_id": "default", "turn_count": 1}
    before = here.client.get("/conversation").json["history"]
    assert here.client.post("/conversation/load", json={}).json["history"] == before
    loaded = here.client.post("/conversation/load", json={"conversation_id": "copy"}).json
    assert [message["content"] for message in loaded["history"]] == ["Remember this", "Hello 🦜 there."]


def test_conversations_in_which_nothing_was_said_hide_none(here):
    for number in range(18):
        here.ask(conversation_id=f"real-{number}", new_conversation=True)
    for _ in range(105):
        here.client.post("/conversations")
    first = here.client.get("/conversations?limit=10").json
    assert [one["conversation_id"] for one in first["conversations"]] == [
        f"real-{number}" for number in range(17, 7, -1)
    ]
    second = here.client.get("/conversations", query_string={"limit": 10, "before": first["next"]}).json
    assert [one["conversation_id"] for one in second["conversations"]] == [
        f"real-{number}" for number in range(7, -1, -1)
    ]
    assert second["next"] is None
    everything = here.client.get("/conversations?limit=500&empty=true").json["conversations"]
    assert len(everything) == 18 + 105 + 1


@pytest.mark.parametrize(
    "refused",
    [
        {"message": " "},
        {"message": "x" * 300_000},
        {"max_tokens": 8192},
        {"temperature": 9},
        {"project": "no"},
    ],
)
def test_a_refused_question_begins_no_conversation(here, refused):
    fields = {"message": "Hi", "conversation_id": "mine", "new_conversation": True, **refused}
    assert here.client.post("/chat", json=fields).status_code >= 400
    assert here.client.get("/conversations/mine").status_code == 404


def test_a_new_conversation_has_an_id_that_can_stand_in_a_path(here):
    fields = {"message": "Hi", "new_conversation": True}
    assert here.client.post("/chat", json={**fields, "conversation_id": "../x y"}).status_code == 400
    assert here.client.post("/chat", json={**fields, "conversation_id": "mine"}).status_code == 200
    assert here.client.post("/chat", json={**fields, "conversation_id": "mine"}).status_code == 200
    assert here.client.get("/conversations/mine").json["turn_count"] == 2


def test_a_page_begins_where_the_one_before_ended_although_a_conversation_went_on(here):
    for number in range(4):
        here.ask(conversation_id=f"c{number}", new_conversation=True)
    first = here.client.get("/conversations?limit=2").json
    here.ask(conversation_id="c2")
    second = here.client.get("/conversations", query_string={"limit": 2, "before": first["next"]}).json
    assert [one["conversation_id"] for one in second["conversations"]] == ["c1", "c0"]


@pytest.mark.parametrize(
    ("query", "hits"), [("tänze", 1), ("TANZE im", 1), ("im tanze", 1), ("tanze nie", 0)]
)
def test_search_knows_titles(here, query, hits):
    here.client.post("/conversations", json={"title": "Tänze im Mai", "conversation_id": "dance"})
    results = here.client.get("/search", query_string={"q": query}).json["results"]
    assert [(one["source"], one["id"], one["text"]) for one in results] == [
        ("conversation", "dance", "Tänze im Mai")
    ] * hits

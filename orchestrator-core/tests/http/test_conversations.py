import threading

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

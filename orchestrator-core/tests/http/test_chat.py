"""`/chat` and `/chat/stream`: the answer's fields, seams and failures."""

import threading

from orchestrator_core.errors import ModelNotFound
from support.desktop import desk, events
from support.scripted import Gate, Reply, ScriptedBackend

CHAT_FIELDS = {
    *("response", "conversation_id", "message_id", "run_id", "tier", "model"),
    *("reason", "usage", "finish_reason", "receipt", "timestamp", "supersedes"),
}


def test_chat_answers_and_remembers(here):
    answer = here.ask("What is the four-tier handoff system?", context="Working on it")
    assert set(answer) == CHAT_FIELDS
    assert answer["response"] == "Hello 🦜 there."
    assert answer["conversation_id"] == "default"
    assert answer["tier"] == "desktop" and answer["model"] == "scripted"
    assert set(answer["usage"]) == {"prompt_tokens", "completion_tokens", "cached_tokens"}
    history = here.client.get("/conversation").json
    assert [message["role"] for message in history["history"]] == ["user", "assistant"]
    assert history["history"][1]["content"] == "Hello 🦜 there."
    assert history["history"][1]["message_id"] == answer["message_id"]
    assert history["turn_count"] == 1
    assert "Working on it" in here.backend.calls[0].prompt.text


def test_unknown_fields_are_ignored(here):
    assert here.ask(model="gpt-4", stream=True, unknown=[1])["response"]


def test_stream_has_offsets_tokens_and_the_fields_of_chat_at_the_end(here):
    response = here.client.post("/chat/stream", json={"message": "Explain continuity theory"})
    assert response.status_code == 200
    assert response.mimetype == "text/event-stream"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Cache-Control"] == "no-cache"
    found = events(response.get_data(as_text=True))
    assert [event["id"] for event in found] == list(range(1, len(found) + 1))
    assert "".join(event["data"].get("token", "") for event in found) == "Hello 🦜 there."
    last = found[-1]["data"]
    assert last["done"] is True and set(last) >= CHAT_FIELDS - {"supersedes"}
    assert last["run_id"] == response.headers["X-Run-Id"]


def test_a_seam_is_an_event_of_its_own(tmp_path):
    backend = ScriptedBackend([Reply(text="one two three four", crash_after=(2,))])
    with desk(tmp_path, backend) as here:
        found = events(here.client.post("/chat/stream", json={"message": "Hi"}).get_data(as_text=True))
    seams = [event for event in found if event["event"] == "seam"]
    assert len(seams) == 1 and {"tier", "model", "reason"} <= set(seams[0]["data"])
    assert "".join(event["data"].get("token", "") for event in found) == "one two three four"


def test_a_failed_answer_has_the_errors_status(tmp_path):
    backend = ScriptedBackend([Reply(refuse="overloaded"), Reply(refuse="overloaded")])
    with desk(tmp_path, backend) as here:
        for path in ("/chat", "/chat/stream"):
            response = here.client.post(path, json={"message": "Hi"})
            assert response.status_code == 429, response.get_data(as_text=True)
            assert response.json["error"]["code"] == "overloaded"


def test_a_failure_half_way_is_an_error_event(tmp_path):
    backend = ScriptedBackend([Reply(text="one two three", crash_after=(1,), failure=ModelNotFound("Gone."))])
    with desk(tmp_path, backend) as here:
        response = here.client.post("/chat/stream", json={"message": "Hi"})
        found = events(response.get_data(as_text=True))
    assert response.status_code == 200
    assert found[0]["data"] == {"token": "one"}
    assert found[-1]["event"] == "error"
    assert found[-1]["data"]["error"]["code"] == "model_not_found"


def test_more_watchers_than_threads_allow_are_refused(tmp_path):
    gate = Gate()
    backend = ScriptedBackend([Reply(text="a b", gate=gate), Reply(text="c d", gate=gate)])
    with desk(tmp_path, backend, threads=6) as here:
        asking = [threading.Thread(target=lambda: here.ask()) for _ in range(2)]
        for thread in asking:
            thread.start()
        assert gate.wait_blocked(2)
        refused = here.client.post("/chat", json={"message": "Hi"})
        assert refused.status_code == 429 and refused.headers["Retry-After"]
        gate.open()
        for thread in asking:
            thread.join(10)
        assert here.client.post("/generate", json={"prompt": "x"}).status_code != 429

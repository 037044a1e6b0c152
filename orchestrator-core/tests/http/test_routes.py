"""The routes' answers: fields, statuses, headers, and what they leave behind."""

import threading
import time

import pytest
from orchestrator_core.backends.scripted import Gate, Reply, ScriptedBackend
from orchestrator_core.errors import ModelNotFound
from support.desktop import desk, events


@pytest.fixture
def here(tmp_path):
    backend = ScriptedBackend(["Hello 🦜 there.", "Second."], otherwise=Reply(text="More."))
    with desk(tmp_path, backend) as found:
        yield found


CHAT_FIELDS = {
    *("response", "conversation_id", "message_id", "run_id", "tier", "model"),
    *("reason", "usage", "finish_reason", "receipt", "timestamp", "supersedes"),
}


def ask(here, message="Hi", **fields):
    response = here.client.post("/chat", json={"message": message, **fields})
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.json


def test_chat_answers_and_remembers(here):
    answer = ask(here, "What is the four-tier handoff system?", context="Working on it")
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
    assert ask(here, model="gpt-4", stream=True, unknown=[1])["response"]


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


def test_a_run_can_be_followed_again_from_any_offset(here):
    run_id = ask(here)["run_id"]
    whole = events(here.client.get(f"/runs/{run_id}/stream").get_data(as_text=True))
    for after in range(len(whole) + 1):
        rest = events(here.client.get(f"/runs/{run_id}/stream?from={after}").get_data(as_text=True))
        assert rest == whole[after:]
        same = here.client.get(f"/runs/{run_id}/stream?from=0", headers={"Last-Event-ID": str(after)})
        assert events(same.get_data(as_text=True)) == whole[after:]


def test_a_run_shows_its_state_and_text(here):
    run_id = ask(here)["run_id"]
    run = here.client.get(f"/runs/{run_id}").json
    assert run["state"] == "done" and run["text"] == "Hello 🦜 there."
    assert run["usage"]["completion_tokens"] > 0 and run["error"] is None
    assert here.client.delete(f"/runs/{run_id}").json["state"] == "done"


def test_a_seam_is_an_event_of_its_own(tmp_path):
    backend = ScriptedBackend([Reply(text="one two three four", crash_after=(2,))])
    with desk(tmp_path, backend) as here:
        found = events(here.client.post("/chat/stream", json={"message": "Hi"}).get_data(as_text=True))
    seams = [event for event in found if event["event"] == "seam"]
    assert len(seams) == 1 and {"tier", "model", "reason"} <= set(seams[0]["data"])
    assert "".join(event["data"].get("token", "") for event in found) == "one two three four"


def test_stopping_a_run_from_elsewhere_keeps_its_text(tmp_path):
    gate = Gate()
    with desk(tmp_path, ScriptedBackend([Reply(text="one two three", gate=gate)])) as here:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(ask(here)))
        asking.start()
        gate.allow(2)
        assert gate.wait_blocked()
        (run,) = here.services.assistant.runs.active()
        wait_for(lambda: run.text == "one two")
        stopped = here.client.delete(f"/runs/{run.run_id}").json
        asking.join(10)
    assert stopped["state"] == "cancelled" and stopped["text"] == "one two"
    assert answers[0]["finish_reason"] == "cancelled" and answers[0]["response"] == "one two"


def wait_for(condition, timeout=10.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_conversation_that_is_being_answered_names_its_run(tmp_path):
    gate = Gate()
    with desk(tmp_path, ScriptedBackend([Reply(text="one two", gate=gate)])) as here:
        asking = threading.Thread(target=lambda: ask(here))
        asking.start()
        assert gate.wait_blocked()
        (run,) = here.services.assistant.runs.active()
        assert here.client.get("/conversations/default").json["active_run"] == run.run_id
        gate.open()
        asking.join(10)
        assert here.client.get("/conversations/default").json["active_run"] is None


def test_clearing_stops_what_runs_and_leaves_nothing(tmp_path):
    gate = Gate()
    with desk(tmp_path, ScriptedBackend([Reply(text="one two", gate=gate)])) as here:
        asking = threading.Thread(target=lambda: ask(here))
        asking.start()
        gate.allow(1)
        assert gate.wait_blocked()
        cleared = here.client.delete("/conversation").json
        asking.join(10)
        assert cleared["history"] == [] and cleared["turn_count"] == 0
        assert here.client.get("/conversation").json["history"] == []


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


def test_many_conversations(here):
    made = here.client.post("/conversations", json={"title": "Plans"})
    assert made.status_code == 201
    conversation_id = made.json["conversation_id"]
    assert ask(here, conversation_id=conversation_id)["conversation_id"] == conversation_id
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


def test_search_finds_messages(here):
    ask(here, "Where is the walrus?")
    found = here.client.get("/search?q=walrus").json["results"][0]
    assert found["source"] == "message" and found["conversation_id"] == "default"
    assert "walrus" in found["text"]
    assert here.client.get('/search?q="unclosed AND (').json["results"] == []


def test_search_finds_log_entries_and_sections_of_documents(here):
    base = here.client.get("/context/PROJECT_CONTEXT.md")
    text = "# Zoo\n\n## Pools\n\nThe walrus pool is heated.\n"
    here.client.put(
        "/context/PROJECT_CONTEXT.md", json={"text": text}, headers={"If-Match": base.headers["ETag"]}
    )
    here.client.post("/context/SESSION_LOG.md/entries", json={"text": "Fed the walrus.", "entry_id": "fed1"})
    results = here.client.get("/search?q=walrus").json["results"]
    assert {(one["source"], one["id"]) for one in results} == {
        ("document", "PROJECT_CONTEXT.md#Pools"),
        ("log", "SESSION_LOG.md#fed1"),
    }
    assert all("walrus" in one["text"] and one["score"] > 0 for one in results)


def test_search_puts_what_has_all_the_words_first(here):
    for text in ("The walrus sleeps.", "The heated pool of the walrus.", "A pool table."):
        ask(here, text)
    results = here.client.get("/search?q=walrus pool").json["results"]
    assert "heated" in results[0]["text"]
    assert len(results) >= 3


def test_saving_and_loading_a_conversation(here):
    ask(here, "Remember this")
    saved = here.client.post("/conversation/save", json={}).json
    assert saved == {"filename": "conversation_history.json", "conversation_id": "default", "turn_count": 1}
    before = here.client.get("/conversation").json["history"]
    assert here.client.post("/conversation/load", json={}).json["history"] == before
    loaded = here.client.post("/conversation/load", json={"conversation_id": "copy"}).json
    assert [message["content"] for message in loaded["history"]] == ["Remember this", "Hello 🦜 there."]


def test_context_lists_the_documents_with_versions_and_tokens(here):
    found = here.client.get("/context").json
    assert [document["name"] for document in found["documents"]] == [
        "PORTFOLIO_CONTEXT.md",
        "PROJECT_CONTEXT.md",
        "SESSION_BRIEFING.md",
        "SESSION_LOG.md",
    ]
    assert all(document["tokens"] > 0 and document["version"] for document in found["documents"])


def test_a_document_is_edited_against_the_version_it_was_read_in(here):
    path = "/context/SESSION_BRIEFING.md"
    read = here.client.get(path)
    assert read.headers["ETag"] == f'"{read.json["version"]}"'
    assert here.client.get(path, headers={"If-None-Match": read.headers["ETag"]}).status_code == 304
    edited = here.client.put(
        path, json={"text": "# Now\n\nFirst.\n"}, headers={"If-Match": read.headers["ETag"]}
    )
    assert edited.status_code == 200
    assert edited.json["text"] == "# Now\n\nFirst.\n"
    assert edited.headers["ETag"] != read.headers["ETag"]
    assert here.client.get(path).json == edited.json


def test_a_stale_edit_is_merged_not_refused(here):
    path = "/context/SESSION_BRIEFING.md"
    base = here.client.put(path, json={"text": "one\ntwo\nthree\nfour\n"}, headers={"If-Match": "*"})
    tag = {"If-Match": base.headers["ETag"]}
    here.client.put(path, json={"text": "ONE\ntwo\nthree\nfour\n"}, headers=tag)
    merged = here.client.put(path, json={"text": "one\ntwo\nthree\nFOUR\n"}, headers=tag)
    assert merged.status_code == 200
    assert merged.json["text"] == "ONE\ntwo\nthree\nFOUR\n"


def test_a_log_entry_is_added_once(here):
    path = "/context/SESSION_LOG.md/entries"
    first = here.client.post(path, json={"text": "Decided on tea.", "entry_id": "abc"})
    again = here.client.post(path, json={"text": "Decided on tea.", "entry_id": "abc"})
    assert first.status_code == again.status_code == 201
    assert first.json == again.json and first.json["entry_id"] == "abc"
    text = here.client.get("/context/SESSION_LOG.md").json["text"]
    assert text.count("Decided on tea.") == 1


def test_versions_are_listed_shown_and_restored(here):
    path = "/context/PROJECT_CONTEXT.md"
    first = here.client.get(path).json
    here.client.put(path, json={"text": "# Other\n"}, headers={"If-Match": "*"})
    versions = here.client.get(f"{path}/history").json["versions"]
    assert versions and set(versions[0]) == {"version", "author", "at", "summary"}
    assert here.client.get(f"{path}/history/{first['version']}").json == first
    restored = here.client.post(f"{path}/restore", json={"version": first["version"]})
    assert restored.json["text"] == first["text"]


def test_conflicts_can_be_asked_for(here):
    assert here.client.get("/context/conflicts").json == {"conflicts": []}
    assert here.client.post("/context/conflicts/none", json={"text": "x"}).status_code == 404


def test_the_preview_is_the_prompt_that_is_sent(here):
    here.client.put(
        "/context/SESSION_BRIEFING.md", json={"text": "# Now\n\nTea.\n"}, headers={"If-Match": "*"}
    )
    shown = here.client.get("/context/preview?message=What%20now%3F").json
    ask(here, "What now?")
    sent = here.backend.calls[-1].prompt.text
    # The minute may have passed in between; everything else is the same, byte for byte.
    assert shown["prompt"][:-40] == sent[:-40] and len(shown["prompt"]) == len(sent)
    assert shown["prompt_tokens"] > 0 and shown["receipt"]["documents"]


def test_context_is_loaded_within_a_number_of_tokens(here):
    here.client.put(
        "/context/SESSION_BRIEFING.md",
        json={"text": "# Now\n\nTea.\n\n# Later\n\n" + "word " * 500},
        headers={"If-Match": "*"},
    )
    loaded = here.client.post("/context/load", json={"max_tokens": 50}).json
    assert loaded["tokens"] <= 50 and loaded["tokens_left_out"] > 0 and "Tea." in loaded["text"]
    whole = here.client.post("/context/load", json={"name": "SESSION_BRIEFING.md"}).json
    assert whole["tokens_left_out"] == 0 and "word word" in whole["text"]


def test_generate_is_cached_when_deterministic(here):
    body = {"prompt": "[INST] What is continuity theory? [/INST]", "max_tokens": 512, "temperature": 0}
    first = here.client.post("/generate", json=body)
    again = here.client.post("/generate", json=body)
    other = here.client.post("/generate", json={**body, "temperature": 0.7})
    assert [one.headers["X-Cache"] for one in (first, again, other)] == ["MISS", "HIT", "BYPASS"]
    assert first.json == again.json
    assert set(first.json) == {"response", "usage", "finish_reason", "tier", "model", "timestamp"}
    assert len(here.backend.calls) == 2
    assert here.backend.calls[0].prompt.text == body["prompt"]


def test_model_info_and_info(here):
    info = here.client.get("/model/info").json
    assert info["model"] == "scripted" and info["load"]["loaded"] is True
    assert here.client.get("/info").json["state"] == "ready"


def test_metrics_count_what_happened(here):
    ask(here)
    here.client.get("/nothing")
    text = here.client.get("/metrics").get_data(as_text=True)
    for line in (
        'orchestrator_http_requests_total{method="POST",route="/chat",status="200"} 1.0',
        'orchestrator_http_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        "orchestrator_first_token_seconds_count 1.0",
        'orchestrator_runs_finished_total{state="done"} 1.0',
        "orchestrator_engine_restarts_total 0.0",
        "orchestrator_queue_length 0.0",
        "orchestrator_kv_cells_total 8192.0",
        'orchestrator_runs{state="running"} 0.0',
        "orchestrator_model_loaded 1.0",
    ):
        assert line in text.splitlines(), line


def test_while_the_model_loads_the_server_answers_and_questions_wait(tmp_path):
    gate = threading.Event()
    backend = ScriptedBackend(["Hi."], load_gate=gate)
    with desk(tmp_path, backend, wait=False) as here:
        assert here.client.get("/health").status_code == 200
        waiting = here.client.get("/ready")
        assert waiting.status_code == 503 and waiting.json["error"]["code"] == "loading"
        assert waiting.headers["Retry-After"] == "5"
        assert here.client.get("/info").json["state"] == "loading"
        assert here.client.get("/context").json["documents"][0]["tokens"] is None
        answers = []
        asking = threading.Thread(target=lambda: answers.append(ask(here)))
        asking.start()
        gate.set()
        asking.join(10)
        assert answers[0]["response"] == "Hi."
        assert here.client.get("/ready").json == {"status": "ready"}


def test_a_model_that_cannot_be_loaded_is_told_everywhere_and_the_rest_works(tmp_path):
    missing = ModelNotFound("There is no model at 'x.gguf'.", hint="Put one there.")
    backend = ScriptedBackend(["Hi."], load_errors=[missing] * 100)
    with desk(tmp_path, backend, wait=False) as here:
        for path in ("/chat", "/chat/stream", "/generate", "/v1/chat/completions"):
            body = {"message": "Hi", "prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}]}
            response = here.client.post(path, json=body)
            assert response.status_code == 503
            assert response.json["error"]["code"] == "model_not_found"
            assert "Put one there." in response.get_data(as_text=True)
        assert here.client.get("/ready").json["error"]["hint"] == "Put one there."
        assert here.client.get("/conversation").json["history"] == []
        assert here.client.get("/health").status_code == 200


def test_a_stopping_server_refuses_new_work_and_still_shows_what_is_there(here):
    here.services.stopping.set()
    refused = here.client.post("/chat", json={"message": "Hi"})
    assert refused.status_code == 503 and refused.json["error"]["code"] == "stopping"
    assert refused.headers["Retry-After"]
    assert here.client.get("/health").json == {"status": "stopping"}
    assert here.client.get("/conversation").status_code == 200


def test_more_watchers_than_threads_allow_are_refused(tmp_path):
    gate = Gate()
    backend = ScriptedBackend([Reply(text="a b", gate=gate), Reply(text="c d", gate=gate)])
    with desk(tmp_path, backend, threads=6) as here:
        asking = [threading.Thread(target=lambda: ask(here)) for _ in range(2)]
        for thread in asking:
            thread.start()
        assert gate.wait_blocked(2)
        refused = here.client.post("/chat", json={"message": "Hi"})
        assert refused.status_code == 429 and refused.headers["Retry-After"]
        gate.open()
        for thread in asking:
            thread.join(10)
        assert here.client.post("/generate", json={"prompt": "x"}).status_code != 429

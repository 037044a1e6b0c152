"""What the server tells of itself and its model: loading, failed, stopping, counted."""

import threading

from ai_orchestrator.app import create_app
from orchestrator_core.assistant import open_assistant
from orchestrator_core.errors import ModelNotFound
from support.desktop import desk, settings_for
from support.scripted import ScriptedBackend
from support.waiting import wait_until


def test_model_info_and_info(here):
    info = here.client.get("/model/info").json
    assert info["model"] == "scripted" and info["load"]["loaded"] is True
    assert here.client.get("/info").json["state"] == "ready"


def test_metrics_count_what_happened(here):
    here.ask()
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


def test_info_and_metrics_tell_how_far_embeddings_are(tmp_path):
    backend = ScriptedBackend(["Hi."], embedding_size=8)
    with desk(tmp_path / "static", backend) as here:
        assert here.client.get("/info").json["embeddings"]["model"].startswith("wordllama")
    settings = settings_for(tmp_path / "meaning")
    settings.context.embeddings = "engine"
    with open_assistant(settings, backend=ScriptedBackend(["Hi."], embedding_size=8)) as assistant:
        client = create_app(settings, assistant).test_client()
        assistant.conversations.add_message("default", "user", "The walnut box.")
        wait_until(lambda: client.get("/info").json["embeddings"]["embedded"] == 1)
        told = client.get("/info").json["embeddings"]
        assert (told["passages"], told["refused"], told["problem"]) == (1, 0, None)
        lines = client.get("/metrics").get_data(as_text=True).splitlines()
        assert 'orchestrator_passages{by="meaning"} 1.0' in lines


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
        asking = threading.Thread(target=lambda: answers.append(here.ask()))
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

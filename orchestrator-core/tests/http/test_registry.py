"""`/models`: the registry of a server, with the built-in model's engine behind it."""

import hashlib

import pytest
from ai_orchestrator.app import app_services, create_app
from orchestrator_core.backends.model_files import builtin_folders, find_builtin
from orchestrator_core.models import memory
from orchestrator_core.models.registry import Registry
from orchestrator_core.settings import Settings
from support.desktop import ReadingClient, desk
from support.waiting import wait_until

BUILTIN = find_builtin(builtin_folders())
CONTENT = b"GGUF" + bytes(range(256)) * 50


def fill(data):
    """`whole:1`, a model, and `junk:1`, which is none."""
    registry = Registry(data / "models")
    registry.add({"whole.gguf": BUILTIN}, {"name": "whole", "licence": "mit"})
    junk = data / "junk.gguf"
    junk.write_bytes(CONTENT)
    registry.add({"junk.gguf": junk}, {"name": "junk"})


@pytest.fixture
def here(tmp_path):
    """A client of a server with this registry."""
    with desk(tmp_path / "data") as desktop:
        fill(tmp_path / "data")
        yield desktop.client


@pytest.fixture
def engine(tmp_path):
    """The same, where the engine answers."""
    settings = Settings(data=tmp_path / "data")
    settings.model.context_length = 256
    settings.context.embeddings = None
    settings.data.mkdir()
    fill(settings.data)
    app = create_app(settings)
    app.test_client_class = ReadingClient
    services = app_services(app)
    services.model.ensure(60)
    yield app.test_client()
    services.assistant.close()


def manifest(content=CONTENT, name="sent", sha256=None):
    digest = sha256 or hashlib.sha256(content).hexdigest()
    return {"name": name, "version": "1", "files": {"sent.gguf": {"size": len(content), "sha256": digest}}}


def send(client, content, offset=0, name="sent"):
    path = f"/models/incoming/{name}/1/sent.gguf?offset={offset}"
    return client.put(path, data=content, content_type="application/octet-stream")


def activation(client):
    wait_until(lambda: client.get("/models").json["activation"]["state"] != "running", 60)
    return client.get("/models").json["activation"]


def test_the_list_names_sizes_hashes_and_what_is_active(here):
    listed = here.get("/models").json
    assert (listed["active"], listed["activation"]["state"]) == (None, "none")
    by_name = {model["name"]: model for model in listed["models"]}
    assert by_name["whole"]["files"] == [
        {
            "name": "whole.gguf",
            "size": BUILTIN.stat().st_size,
            "sha256": hashlib.sha256(BUILTIN.read_bytes()).hexdigest(),
        }
    ]
    assert by_name["whole"]["tiers"] == ["desktop", "phone", "vps"]
    assert here.get("/models/whole/1").json == by_name["whole"]


def test_a_model_is_activated_and_rolled_back_while_the_server_runs(engine):
    answer = engine.post("/models/activate", json={"reference": "whole"})
    assert (answer.status_code, answer.json["reference"]) == (202, "whole:1")
    assert activation(engine) == {"state": "done", "reference": "whole:1", "error": None}
    said = engine.post("/chat", json={"message": "What is the relay?", "max_tokens": 4}).json
    assert said["model"] == said["receipt"]["model"] == "whole:1"
    assert engine.get("/v1/models").json["data"][0]["id"] == "whole:1"
    assert engine.post("/models/rollback").status_code == 202
    assert activation(engine)["state"] == "done"
    assert engine.get("/model/info").json["model"] == BUILTIN.name


def test_what_does_not_load_is_not_activated_and_the_reason_is_told(engine):
    assert engine.post("/models/activate", json={"reference": "junk:1"}).status_code == 202
    told = activation(engine)
    assert (told["state"], told["error"]["code"]) == ("failed", "model_unusable")
    assert engine.get("/models").json["active"] is None
    assert engine.get("/model/info").json["model"] == BUILTIN.name
    assert engine.post("/models/activate", json={"reference": "absent"}).status_code == 404
    assert engine.post("/models/rollback").status_code == 409


def test_a_model_too_large_for_the_memory_is_refused_before_the_running_one_is_touched(engine, monkeypatch):
    monkeypatch.setattr(memory, "GPU_DEVICES", ())
    monkeypatch.setattr(memory, "main_memory", lambda: memory.Memory(total=1_000_000, available=900_000))
    refused = engine.post("/models/activate", json={"reference": "whole", "force": True})
    assert (refused.status_code, refused.json["error"]["code"]) == (503, "model_too_large")
    assert "this machine has 1.0 MB" in refused.json["error"]["message"]
    assert "smaller model" in refused.json["error"]["hint"]
    assert engine.get("/models").json["activation"]["state"] == "none"
    assert engine.post("/chat", json={"message": "Hello", "max_tokens": 2}).json["model"] == BUILTIN.name


class TestDownloads:
    PATH = "/models/junk/1/files/junk.gguf"

    def test_a_file_comes_whole_or_in_ranges_and_its_hash_is_its_etag(self, here):
        whole = here.get(self.PATH)
        assert whole.data == CONTENT and whole.headers["Accept-Ranges"] == "bytes"
        assert whole.headers["ETag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
        part = here.get(self.PATH, headers={"Range": "bytes=100-199", "If-Range": whole.headers["ETag"]})
        assert (part.status_code, part.data) == (206, CONTENT[100:200])
        assert part.headers["Content-Range"] == f"bytes 100-199/{len(CONTENT)}"
        assert here.get(self.PATH, headers={"Range": "bytes=99999-"}).status_code == 416
        assert here.get(self.PATH, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304

    def test_nothing_but_the_files_of_a_version_is_given(self, here):
        for file in ("absent.gguf", "manifest.json", "..%2f..%2f.active.json", ".lock"):
            assert here.get(f"/models/junk/1/files/{file}").status_code == 404


class TestSending:
    def test_a_version_arrives_in_parts_and_goes_on_after_a_break(self, here):
        assert here.post("/models/incoming", json=manifest()).json["held"] == {"sent.gguf": 0}
        assert send(here, CONTENT[:5000]).json["held"] == {"sent.gguf": 5000}
        assert here.post("/models/incoming/sent/1").json["error"]["code"] == "incomplete"
        begun = here.post("/models/incoming", json=manifest()).json
        assert (begun["complete"], begun["held"]) == (False, {"sent.gguf": 5000})
        assert send(here, CONTENT[5000:], 5000).status_code == 200
        assert here.get("/models/sent/1").status_code == 404
        finished = here.post("/models/incoming/sent/1")
        assert (finished.status_code, finished.json["reference"]) == (201, "sent:1")
        assert here.get("/models/sent/1/files/sent.gguf").data == CONTENT
        assert here.post("/models/incoming", json=manifest()).json["complete"] is True

    def test_a_wrong_hash_never_becomes_a_version(self, here):
        here.post("/models/incoming", json=manifest(sha256="0" * 64))
        send(here, CONTENT)
        refused = here.post("/models/incoming/sent/1")
        assert (refused.status_code, refused.json["error"]["code"]) == (409, "wrong_hash")
        assert here.get("/models/sent/1").status_code == 404
        assert here.post("/models/incoming", json=manifest(sha256="0" * 64)).json["held"] == {"sent.gguf": 0}

    def test_parts_out_of_order_and_of_nothing_known_are_refused(self, here):
        assert send(here, b"x").status_code == 404
        here.post("/models/incoming", json=manifest())
        assert send(here, b"x", 7).json["error"]["code"] == "wrong_offset"
        assert send(here, b"x", "y").status_code == 400
        assert send(here, bytes(5 << 20)).status_code == 413

    def test_a_version_that_is_there_is_not_written_over(self, here):
        refused = here.post("/models/incoming", json=manifest(name="junk"))
        assert (refused.status_code, refused.json["error"]["code"]) == (409, "model_exists")

    @pytest.mark.parametrize(
        "change", [{"files": {}}, {"files": {"../x": {"size": 1, "sha256": "0" * 64}}}, {"name": "../x"}]
    )
    def test_a_bad_manifest_is_a_400(self, here, change):
        assert here.post("/models/incoming", json=manifest() | change).status_code == 400


def test_a_version_is_deleted(here):
    assert here.delete("/models/junk/1").status_code == 200
    assert here.delete("/models/junk/1").status_code == 404


def test_a_server_that_was_given_its_model_keeps_it(tmp_path):
    with desk(tmp_path) as here:
        Registry(tmp_path / "models").add({"whole.gguf": BUILTIN}, {"name": "whole"})
        assert here.client.post("/models/activate", json={"reference": "whole"}).status_code == 409

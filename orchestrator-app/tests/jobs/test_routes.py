"""`/datasets` and `/jobs` over HTTP."""

import json
import sys

import pytest
from ai_orchestrator.jobs import store as module
from support.desktop import desk, events
from support.waiting import wait_until

GOOD = b'{"instruction": "What is it?", "output": "It."}\n'


@pytest.fixture
def client(tmp_path):
    with desk(tmp_path) as here:
        yield here.client


def put(client, content=GOOD, name="d.jsonl"):
    return client.put(f"/datasets/{name}", data=content, content_type="application/octet-stream")


class TestDatasets:
    def test_what_is_uploaded_is_counted_and_listed(self, client):
        kept = put(client).json
        assert (kept["name"], kept["examples"], kept["size"]) == ("d.jsonl", 1, len(GOOD))
        assert put(client).json == kept
        assert client.get("/datasets").json == {"datasets": [kept]}
        assert client.get("/datasets/d.jsonl").json == kept
        assert client.delete("/datasets/d.jsonl").json == {"datasets": []}
        assert client.get("/datasets/d.jsonl").status_code == 404

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"\xff", b'{"instruction": 7}', b'{"output": "x"}']
    )
    def test_a_malformed_one_is_refused_with_the_line_and_not_kept(self, client, content):
        refused = put(client, GOOD + content if content not in (b"", b"[]") else content)
        assert refused.status_code == 422
        if content not in (b"", b"[]"):
            assert "line 2" in refused.json["error"]["message"].lower()
        assert client.get("/datasets").json == {"datasets": []}

    def test_other_content_under_the_same_name_is_refused(self, client):
        put(client)
        assert put(client, GOOD + GOOD).status_code == 409

    @pytest.mark.parametrize("name", ["x.txt", "..%2fx.jsonl", ".x.jsonl", "x"])
    def test_a_name_that_is_no_datasets_is_not_found(self, client, name):
        assert put(client, name=name).status_code == 404

    def test_a_huge_one_is_refused(self, client):
        assert put(client, bytes(9 << 20)).status_code == 413


@pytest.fixture
def work(monkeypatch):
    def use(code):
        monkeypatch.setattr(module, "arguments_of", lambda *_: [sys.executable, "-c", code])

    return use


def create(client, **fields):
    put(client)
    return client.post("/jobs", json={"kind": "train", "dataset": "d.jsonl", "model": "builtin", **fields})


def test_a_job_is_created_watched_and_forgotten(client, work):
    work("print('hello')")
    created = create(client)
    assert created.status_code == 201 and created.json["state"] in ("QUEUED", "RUNNING")
    job_id = created.json["job_id"]
    seen = events(client.get(f"/jobs/{job_id}/events").get_data(as_text=True))
    assert "hello\n" in "".join(event["data"].get("text", "") for event in seen)
    assert seen[-1]["event"] == "state" and seen[-1]["data"] == {
        "state": "SUCCESS",
        "done": True,
        "problem": None,
    }
    last = client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": str(seen[-1]["id"])})
    assert [event["event"] for event in events(last.get_data(as_text=True))] == ["state"]
    assert client.get("/jobs").json["jobs"][0]["state"] == "SUCCESS"
    assert client.delete(f"/jobs/{job_id}").json == {"jobs": []}
    assert client.get(f"/jobs/{job_id}").status_code == 404


def test_a_job_is_cancelled(client, work):
    work("import time; print('begun', flush=True); time.sleep(60)")
    job_id = create(client).json["job_id"]
    wait_until(lambda: client.get(f"/jobs/{job_id}").json["state"] == "RUNNING", 30)
    assert client.delete(f"/jobs/{job_id}").status_code == 409
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 202
    wait_until(lambda: client.get(f"/jobs/{job_id}").json["state"] == "CANCELLED", 30)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"options": {"learning_rate": "x"}}, 400),
        ({"options": {"output_dir": "/x"}}, 400),
        ({"kind": "dream"}, 400),
        ({"dataset": "absent.jsonl"}, 404),
        ({"dataset": "../x"}, 400),
        ({"model": "absent"}, 404),
        ({"kind": "eval", "options": {"limit": "--json"}}, 400),
    ],
)
def test_what_cannot_be_run_is_refused_before_it_waits(client, fields, status):
    refused = create(client, **fields)
    assert refused.status_code == status, json.dumps(refused.json)
    assert client.get("/jobs").json == {"jobs": []}

"""Bad inputs are answered with a clear 4xx and never reach the model."""

import json

import pytest
from support.desktop import desk
from support.scripted import ScriptedBackend

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with desk(tmp_path_factory.mktemp("data"), ScriptedBackend(["never said"])) as found:
        yield found
        assert not found.backend.calls  # Nothing in this module may have reached the model.
        assert found.services.assistant.conversations.messages("default") == []


def refused(response, status, *, said="", code=None):
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.content_type == "application/json"
    error = response.json["error"]
    assert said in error["message"], error
    assert error["message"] and error["type"] and error["code"]
    if code is not None:
        assert error["code"] == code
    return error


POSTS = ["/chat", "/chat/stream", "/generate", "/v1/chat/completions", "/v1/completions", "/v1/embeddings"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no body"),
        (b"not json", "JSON"),
        (b'{"message": "\xc3\x28"}', "UTF-8"),
        (b'["message"]', "an array"),
        (b"null", "null"),
        (b'{"temperature": NaN, "message": "x"}', "JSON"),
        (b"[" * 50_000, "JSON"),
        (b'{"message": "\\ud83d"}', "JSON"),
    ],
)
def test_bodies_that_are_no_json_object(here, path, raw, said):
    refused(here.client.post(path, data=raw, headers=JSON), 400, said=said)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_wrong_content_type_is_415(here, path, kind):
    headers = {"Content-Type": kind} if kind else {}
    refused(here.client.post(path, data=b'{"message": "x"}', headers=headers), 415, said="JSON")


def test_a_body_over_the_limit_is_413(here):
    body = json.dumps({"message": "x" * (3 * 1024 * 1024)})
    refused(here.client.post("/chat", data=body, headers=JSON), 413, code="payload_too_large")


def test_a_message_of_one_megabyte_is_413(here):
    error = refused(here.client.post("/chat", json={"message": "x" * 1_000_000}), 413)
    assert "200,000" in error["message"]


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "'message' is missing"),
        ({"message": ""}, "'message'"),
        ({"message": "  \n"}, "'message'"),
        ({"message": 7}, "must be a text"),
        ({"message": None}, "must be a text"),
        ({"message": ["hi"]}, "must be a text"),
        ({"message": "hi", "max_tokens": 0}, "'max_tokens' must be at least 1"),
        ({"message": "hi", "max_tokens": -1}, "'max_tokens' must be at least 1"),
        ({"message": "hi", "max_tokens": 10**9}, "'max_tokens' must be at most"),
        ({"message": "hi", "max_tokens": "12"}, "whole number"),
        ({"message": "hi", "max_tokens": 1.5}, "whole number"),
        ({"message": "hi", "max_tokens": True}, "whole number"),
        ({"message": "hi", "temperature": -0.1}, "'temperature'"),
        ({"message": "hi", "temperature": "hot"}, "must be a number"),
        ({"message": "hi", "top_p": -0.1}, "'top_p'"),
        ({"message": "hi", "top_p": 1.01}, "'top_p'"),
        ({"message": "hi", "top_k": -1}, "'top_k'"),
        ({"message": "hi", "seed": -1}, "'seed'"),
        ({"message": "hi", "stop": [""]}, "stop"),
        ({"message": "hi", "stop": [1]}, "stop"),
        ({"message": "hi", "stop": {"a": 1}}, "stop"),
        ({"message": "hi", "stop": ["x"] * 17}, "stop"),
        ({"message": "hi", "stop": ["x" * 257]}, "stop"),
        ({"message": "hi", "tier": "moon"}, "'tier'"),
        ({"message": "hi", "tier": "vps"}, "vps"),
        ({"message": "hi", "context": 5}, "'context'"),
        ({"message": "hi", "conversation_id": 5}, "'conversation_id'"),
        ({"message": "hi", "conversation_id": ""}, "'conversation_id'"),
    ],
)
def test_fields_that_are_not_what_they_should_be(here, path, fields, said):
    refused(here.client.post(path, json=fields), 400, said=said)


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
def test_an_unknown_conversation_is_404(here, path):
    body = {"message": "hi", "conversation_id": "nobody"}
    refused(here.client.post(path, json=body), 404, code="conversation_not_found")


@pytest.mark.parametrize("path", ["/chat", "/chat/stream", "/generate"])
def test_a_prompt_longer_than_the_window_is_refused(here, path):
    field = "prompt" if path == "/generate" else "message"
    error = refused(here.client.post(path, json={field: "word " * 9000}), 400, code="context_length_exceeded")
    assert "8,192" in error["message"]


@pytest.mark.parametrize(
    ("path", "field", "body"),
    [
        ("/v1/chat/completions", "messages", {"messages": []}),
        ("/v1/chat/completions", "messages", {"messages": [{"role": "alien", "content": "x"}]}),
        ("/v1/chat/completions", "messages", {"messages": [{"role": "user"}]}),
        ("/v1/chat/completions", "messages", {"messages": [{"role": "tool", "content": "x"}]}),
        ("/v1/chat/completions", "n", {"n": 200}),
        ("/v1/chat/completions", "stream", {"stream": "yes"}),
        ("/v1/chat/completions", "response_format", {"response_format": {"type": "yaml"}}),
        ("/v1/chat/completions", "tool_choice", {"tool_choice": "required"}),
        (
            "/v1/chat/completions",
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        ),
        (
            "/v1/chat/completions",
            "tools",
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": 5}}}]},
        ),
        (
            "/v1/chat/completions",
            "tool_choice",
            {
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "tool_choice": {"type": "function", "function": {"name": "g"}},
            },
        ),
        (
            "/v1/chat/completions",
            "response_format",
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "no type"}},
                }
            },
        ),
        ("/v1/completions", "prompt", {"prompt": [1, "two"]}),
        ("/v1/completions", "best_of", {"prompt": "x", "best_of": 3}),
        ("/v1/embeddings", "input", {"input": []}),
    ],
)
def test_openai_requests_name_the_field_in_openais_shape(here, path, field, body):
    if path == "/v1/chat/completions":
        body = {"messages": [{"role": "user", "content": "hi"}], **body}
    response = here.client.post(path, json=body)
    assert response.status_code == 400
    error = response.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == field
    assert error["type"] == "invalid_request_error"


def test_embeddings_of_a_backend_without_them_are_refused_as_unsupported(here):
    error = refused(here.client.post("/v1/embeddings", json={"input": "x"}), 400, code="unsupported")
    assert "embeddings" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/chat", 405),
        ("PUT", "/conversation", 405),
        ("TRACE", "/health", 405),
        ("GET", "/runs/unknown", 404),
        ("GET", "/runs/unknown/stream", 404),
        ("DELETE", "/runs/unknown", 404),
        ("GET", "/runs/..%2F..%2Fetc", 404),
        ("GET", "/runs/%00", 404),
        ("GET", "/runs/" + "x" * 500, 404),
        ("GET", "/conversations/nobody", 404),
        ("DELETE", "/conversations/nobody", 404),
        ("GET", "/conversation?limit=0", 400),
        ("GET", "/conversation?limit=many", 400),
        ("GET", "/conversations?limit=1000000", 400),
        ("GET", "/conversations?before=nobody", 404),
        ("GET", "/search", 400),
        ("GET", "/search?q=", 400),
        ("GET", "/search?q=x&limit=-1", 400),
        ("GET", "/context/UNKNOWN.md", 404),
        ("GET", "/context/..%2F..%2Fmemory.db", 404),
        ("GET", "/context/SESSION_LOG.md/history/nope", 404),
        ("GET", "/context/SESSION_LOG.md/history?limit=0", 400),
        ("GET", "/context/preview?conversation_id=nobody", 404),
        ("GET", "/static/..%2Fchat.html", 404),
        ("GET", "/static/../../app.py", 404),
    ],
)
def test_addresses_and_queries_that_lead_nowhere(here, method, path, status):
    response = here.client.open(path, method=method)
    refused(response, status)
    if status == 405:
        assert response.headers["Allow"]


@pytest.mark.parametrize("start", ["-1", "x", "1e3"])
def test_an_offset_that_is_no_number_is_400(here, start):
    refused(here.client.get(f"/runs/abc/stream?from={start}"), 400)
    refused(here.client.get("/runs/abc/stream", headers={"Last-Event-ID": start}), 400)


@pytest.mark.parametrize("path", ["/conversation/save", "/conversation/load"])
@pytest.mark.parametrize(
    "name",
    ["../memory.json", "/etc/passwd", "a/b.json", ".hidden.json", "x.txt", "", "x.json\n", "..json", 5],
)
def test_a_file_name_is_never_a_path(here, path, name):
    error = refused(here.client.post(path, json={"filename": name}), 400, said="filename")
    assert "ends in .json" in error["hint"]


def test_loading_a_file_that_is_not_there_is_404(here):
    refused(here.client.post("/conversation/load", json={"filename": "none.json"}), 404)


def test_a_link_out_of_the_exports_is_refused(here):
    exports = here.services.settings.data / "exports"
    exports.mkdir(exist_ok=True)
    outside = here.services.settings.data / "outside.json"
    outside.write_text("[]")
    (exports / "link.json").symlink_to(outside)
    refused(here.client.post("/conversation/load", json={"filename": "link.json"}), 403)
    refused(here.client.post("/conversation/save", json={"filename": "link.json"}), 403)
    assert outside.read_text() == "[]"


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"{", b'{"history": 5}', b'[{"role": "alien", "content": "x"}]']
)
def test_a_file_that_is_no_conversation_is_400(here, content):
    exports = here.services.settings.data / "exports"
    exports.mkdir(exist_ok=True)
    (exports / "bad.json").write_bytes(content)
    refused(here.client.post("/conversation/load", json={"filename": "bad.json"}), 400, code="invalid_import")


def test_renaming_to_nothing_is_400(here):
    refused(here.client.patch("/conversations/default", json={"title": "  "}), 400)
    refused(here.client.patch("/conversations/default", json={"title": 5}), 400)


def test_editing_without_a_version_is_428_and_with_an_unknown_one_412(here):
    path = "/context/SESSION_BRIEFING.md"
    refused(here.client.put(path, json={"text": "new"}), 428, code="precondition_required")
    refused(here.client.put(path, json={"text": "new"}, headers={"If-Match": '"0123"'}), 412)
    refused(here.client.put(path, json={"text": "new"}, headers={"If-Match": '"a", "b"'}), 400)
    refused(here.client.put(path, json={"text": 5}, headers={"If-Match": "*"}), 400)


def test_an_empty_log_entry_is_400(here):
    refused(here.client.post("/context/SESSION_LOG.md/entries", json={"text": " \n"}), 400)
    refused(here.client.post("/context/SESSION_LOG.md/entries", json={"text": "x", "entry_id": "--"}), 400)

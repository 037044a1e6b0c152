"""What every route does before it does anything: key, Host, Origin, headers, silence."""

import json
import logging

import pytest
from orchestrator_core.errors import ConfigurationError
from orchestrator_http.access.keys import MAX_FAILURES
from support.desktop import desk, settings_for
from support.scripted import ScriptedBackend

KEY = "correct-horse-battery"
BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    with desk(tmp_path_factory.mktemp("data"), api_key=KEY, allowed_hosts=["desk.lan"]) as found:
        yield found


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    with desk(tmp_path_factory.mktemp("data")) as found:
        yield found


def routes(here):
    return [
        (method, path)
        for path, operations in here.client.get("/openapi.json", headers=BEARER).json["paths"].items()
        for method in operations
    ]


WITHOUT_KEY = {"/health": 200, "/household": 200, "/pair": 400, "/sealed": 400}
"""Public keys; and bodies that prove by themselves who sent them (test_identity, test_pair)."""


def test_every_route_but_health_needs_the_key(locked):
    checked = 0
    for number, (method, path) in enumerate(routes(locked)):
        # Each from an address of its own, or the limit on failures would answer first.
        address = {"REMOTE_ADDR": f"10.1.0.{number}"}
        response = locked.client.open(
            path.replace("{", "").replace("}", ""), method=method, environ_base=address
        )
        if path in WITHOUT_KEY:
            assert response.status_code == WITHOUT_KEY[path], (method, path)
            continue
        assert response.status_code == 401, (method, path)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert "key" in json.dumps(response.json["error"]), (
            method,
            path,
        )  # each family has a form of its own
        checked += 1
    assert checked > 25


def test_the_page_is_served_without_the_key_and_says_nothing_private(locked):
    page = locked.client.get("/")
    assert page.status_code == 200
    assert KEY not in page.get_data(as_text=True)
    assert locked.client.get("/static/main.js").status_code == 200


def test_health_says_nothing_but_that_it_is_well(locked):
    assert locked.client.get("/health").json == {"status": "ok"}


def test_the_right_key_opens(locked):
    assert locked.client.get("/info", headers=BEARER).status_code == 200
    assert locked.client.get("/v1/models", headers=BEARER).status_code == 200


def test_the_key_may_come_as_anthropics_clients_send_it(locked):
    assert locked.client.get("/info", headers={"X-Api-Key": KEY}).status_code == 200
    assert locked.client.get("/info", headers={"X-Api-Key": "wrong"}).status_code == 401
    assert locked.client.get("/info", headers={"X-Api-Key": "wrong", **BEARER}).status_code == 200


def test_a_wrong_key_on_v1_has_openais_shape(locked):
    response = locked.client.get("/v1/models", headers={"Authorization": "Bearer no"})
    assert response.status_code == 401
    assert set(response.json["error"]) == {"message", "type", "param", "code"}


def test_who_goes_on_with_wrong_keys_is_told_to_stop_and_the_right_key_passes(locked):
    address = {"REMOTE_ADDR": "10.9.9.9", "wsgi.url_scheme": "https"}
    wrong = {"Authorization": "Bearer wrong"}
    for _ in range(MAX_FAILURES):
        assert locked.client.get("/info", headers=wrong, environ_overrides=address).status_code == 401
    blocked = locked.client.get("/info", headers=wrong, environ_overrides=address)
    assert blocked.status_code == 429
    assert 1 <= int(blocked.headers["Retry-After"]) <= 60
    assert locked.client.get("/info", headers=BEARER, environ_overrides=address).status_code == 200


def test_without_a_configured_key_any_key_or_none_will_do(free):
    assert free.client.get("/info").status_code == 200
    assert free.client.get("/info", headers={"Authorization": "Bearer sk-anything"}).status_code == 200


def test_an_open_address_without_a_key_does_not_start(tmp_path):
    from ai_orchestrator.app import create_app

    with pytest.raises(ConfigurationError) as caught:
        create_app(settings_for(tmp_path, host="0.0.0.0"))
    assert "ORCHESTRATOR_API_KEY" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["/health", "/", "/info", "/nothing"])
def test_a_foreign_host_is_refused_everywhere(free, path):
    response = free.client.get(path, headers={"Host": "evil.example"})
    assert response.status_code == 403
    assert response.json["error"]["code"] == "foreign_host"


def test_an_allowed_host_is_served(locked):
    assert locked.client.get("/health", headers={"Host": "desk.lan:5000"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9999"])
def test_a_foreign_page_is_refused_and_no_cors_header_is_sent(free, origin):
    response = free.client.post("/chat", json={"message": "hi"}, headers={"Origin": origin})
    assert response.status_code == 403
    assert response.json["error"]["code"] == "foreign_origin"
    assert not [name for name, _ in response.headers if name.lower().startswith("access-control")]


def test_a_preflight_gets_no_permission(free):
    response = free.client.options(
        "/chat", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert response.status_code == 403
    assert "Access-Control-Allow-Origin" not in response.headers


def test_our_own_page_may_call(free):
    response = free.client.get("/info", headers={"Origin": "http://localhost"})
    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("path", ["/health", "/", "/nothing", "/info", "/static/main.js"])
def test_security_headers_are_on_every_answer(free, path):
    headers = free.client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Request-Id"]


def test_the_page_allows_only_its_own_files_and_is_revalidated(free):
    page = free.client.get("/")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-cache"
    again = free.client.get("/", headers={"If-None-Match": page.headers["ETag"]})
    assert again.status_code == 304 and again.data == b""
    script = free.client.get("/static/main.js")
    assert script.mimetype == "text/javascript"


def test_answers_of_the_api_are_not_cached(free):
    assert free.client.get("/conversation").headers["Cache-Control"] == "no-store"


def test_a_bug_tells_nothing_but_its_request_id(free, caplog, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("secret detail /home/owner")

    monkeypatch.setattr(free.services.assistant.conversations, "list", broken)
    with caplog.at_level(logging.ERROR):
        response = free.client.get("/conversations")
    assert response.status_code == 500
    text = response.get_data(as_text=True)
    assert "secret" not in text and "RuntimeError" not in text
    request_id = response.headers["X-Request-Id"]
    assert request_id in response.json["error"]["message"]
    assert request_id in caplog.text and "secret detail" in caplog.text


def test_log_lines_hold_neither_keys_nor_texts_nor_line_breaks(tmp_path, caplog):
    with (
        desk(tmp_path, ScriptedBackend(["a private answer"]), api_key=KEY) as here,
        caplog.at_level(logging.DEBUG),
    ):
        here.client.post("/chat", json={"message": "a private question"}, headers=BEARER).close()
        here.client.get("/search?q=privately", headers=BEARER).close()
        here.client.get("/x%0aFAKE%20LINE", headers={"Authorization": f"Bearer {KEY}x"}).close()
    lines = [record.getMessage() for record in caplog.records if record.name == "orchestrator.http"]
    assert len(lines) == 3
    assert lines[0].startswith("POST /chat 200 ")
    everything = "\n".join(record.getMessage() for record in caplog.records)
    assert "private" not in everything and KEY not in everything
    assert not any("\n" in line for line in lines)


def test_settings_never_show_the_key(tmp_path):
    assert KEY not in repr(settings_for(tmp_path, api_key=KEY))

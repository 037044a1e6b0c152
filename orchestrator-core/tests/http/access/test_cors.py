"""Pages of other origins that the owner allows: preflights, answers, errors and streams."""

import pytest
from support.desktop import desk

KEY = "correct-horse-battery"
BEARER = {"Authorization": f"Bearer {KEY}"}
OBSIDIAN = {"Origin": "app://obsidian.md"}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    origins = ["app://obsidian.md", "http://localhost:*", "vscode-webview://*"]
    with desk(tmp_path_factory.mktemp("data"), api_key=KEY, allowed_origins=origins) as found:
        yield found


def preflight(here, path="/chat", method="POST", origin="app://obsidian.md", **headers):
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    return here.client.options(path, headers={**asked, **headers})


@pytest.mark.parametrize("origin", ["app://obsidian.md", "http://localhost:3000", "vscode-webview://1a2b"])
@pytest.mark.parametrize("path", ["/chat", "/v1/chat/completions", "/context/SESSION_LOG.md", "/nothing"])
def test_a_preflight_needs_no_key(here, path, origin):
    wanted = "authorization, content-type, x-stainless-os, anthropic-version"
    answer = preflight(here, path, origin=origin, **{"Access-Control-Request-Headers": wanted})
    assert answer.status_code == 204 and answer.data == b""
    headers = answer.headers
    assert headers["Access-Control-Allow-Origin"] == origin
    assert headers["Access-Control-Allow-Headers"] == wanted
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(
        headers["Access-Control-Allow-Methods"].split(", ")
    )
    assert headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in headers
    assert "Access-Control-Allow-Private-Network" not in headers


def test_a_public_page_may_reach_a_private_address(here):
    answer = preflight(here, **{"Access-Control-Request-Private-Network": "true"})
    assert answer.headers["Access-Control-Allow-Private-Network"] == "true"


@pytest.mark.parametrize("asked", ["a\tb", "x" * 3000, 'a"b', "a:b", "ü"])
def test_what_is_no_list_of_header_names_is_not_given_back(here, asked):
    answer = preflight(here, **{"Access-Control-Request-Headers": asked})
    assert answer.status_code == 204 and "Access-Control-Allow-Headers" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", "app://evil", "http://localhost.evil.example"]
)
def test_others_are_refused(here, origin):
    for answer in (
        preflight(here, origin=origin),
        here.client.get("/info", headers={**BEARER, "Origin": origin}),
    ):
        assert answer.status_code == 403 and answer.json["error"]["code"] == "foreign_origin"
        assert "allowed_origins" in answer.json["error"]["hint"]
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/info", None, BEARER, 200),
        ("GET", "/info", None, {}, 401),
        ("GET", "/nothing", None, BEARER, 404),
        ("POST", "/info", None, BEARER, 405),
        ("POST", "/chat", {"message": 1}, BEARER, 400),
        ("POST", "/chat", {"message": "Hi"}, BEARER, 200),
        ("POST", "/chat/stream", {"message": "Hi"}, BEARER, 200),
        ("POST", "/v1/chat/completions", {"messages": "no"}, BEARER, 400),
        ("GET", "/", None, {}, 200),
    ],
)
def test_every_answer_can_be_read(here, method, path, body, headers, status):
    answer = here.client.open(path, method=method, json=body, headers={**headers, **OBSIDIAN})
    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == "app://obsidian.md"
    assert answer.headers["Access-Control-Expose-Headers"] == "*"
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_an_allowed_page_cannot_borrow_a_foreign_host(here):
    answer = here.client.get("/info", headers={**BEARER, **OBSIDIAN, "Host": "evil.example"})
    assert answer.status_code == 403 and "Access-Control-Allow-Origin" not in answer.headers


def test_without_an_origin_nothing_is_said_of_origins(here):
    answer = here.client.get("/info", headers=BEARER)
    assert "Access-Control-Allow-Origin" not in answer.headers and answer.headers["Vary"] == "Origin"


def test_options_that_is_no_preflight_is_a_method_like_others(here):
    assert here.client.options("/chat", headers=OBSIDIAN).status_code == 405

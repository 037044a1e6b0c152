"""Requests passed on to a desktop, through a real gunicorn process and a real WebSocket."""

import http.client
import json

import pytest
import requests
from support.home_app import LARGE, Home
from support.vps import KEY, QUICK, PlayedDesktop, Vps
from support.waiting import wait_until

HELLO = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def vps(tmp_path_factory):
    settings = {"ORCHESTRATOR_RELAY__ANSWER_TIMEOUT_S": "2", "ORCHESTRATOR_SERVER__THREADS": "12", **QUICK}
    settings["ORCHESTRATOR_ALLOWED_ORIGINS"] = "app://obsidian.md"
    with Vps(tmp_path_factory.mktemp("vps"), **settings) as running:
        credential = running.enroll().json()["credential"]
        running.credential = credential
        yield running


@pytest.fixture
def home(vps):
    home = Home()
    with PlayedDesktop(vps, home.serve(), credential=vps.credential) as desktop:
        home.desktop = desktop.there()
        home.cut = desktop.cut
        yield home
        home.go.set()
    wait_until(lambda: not vps.desktop()["reachable"])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_goes_through_with_its_body(vps, home, method):
    answer = vps.request(method, "/echo/a%2Fb?q=%20x&q=2", data=b"some\x00bytes")
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["method"] == method and said["body"] == "some\x00bytes"
    assert said["target"] == "/echo/a%2Fb?q=%20x&q=2"
    assert said["relayed"] is True and said["address"] == "127.0.0.1"
    assert answer.headers["X-Tier"] == "desktop" and answer.headers["X-Tier-Reason"] == "the desktop is there"


def test_head_tells_the_length_and_nothing_more(vps, home):
    answer = vps.request("HEAD", "/file")
    assert answer.status_code == 200 and answer.content == b""
    assert answer.headers["Content-Length"] == str(len(LARGE))


def test_a_route_that_both_have_is_the_desktops(vps, home):
    assert vps.get("/conversations").json()["relayed"] is True


def test_the_key_and_what_belongs_to_one_hop_stay_here(vps, home):
    sent = {
        "TE": "trailers",
        "Connection": "X-Private",
        "X-Private": "1",
        "X-Public": "2",
        "X-Forwarded-For": "6.6.6.6",
    }
    headers = vps.get("/echo", headers=sent).json()["headers"]
    assert headers["X-Public"] == "2" and headers["Host"] == "localhost"
    assert not {"Authorization", "Te", "Connection", "X-Private", "X-Forwarded-For"} & headers.keys()
    assert KEY not in json.dumps(headers)


def test_of_an_answer_only_what_describes_its_body_travels(vps, home):
    answer = vps.get("/hops")
    assert answer.content == b"{}" and answer.headers["ETag"] == "2"
    assert "9" not in answer.headers.get("Keep-Alive", "")
    assert not {"X-Inner", "Set-Cookie", "Last-Modified"} & answer.headers.keys()
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_length_that_is_not_true_is_not_told(vps, home):
    for path in ("/lie/3", "/lie/300"):
        answer = vps.get(path)
        assert answer.content == b"twenty bytes of text" and answer.headers["Content-Length"] == "20"


def test_a_page_that_the_owner_allows_reads_what_the_desktop_says(vps, home):
    for path, status in (("/echo", 200), ("/events", 200), ("/teapot", 418)):
        home.go.set()
        answer = vps.get(path, headers={"Origin": "app://obsidian.md"})
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == "app://obsidian.md"
        assert "Origin" in answer.headers["Vary"]
    asked = {"Origin": "app://obsidian.md", "Access-Control-Request-Method": "PUT"}
    seen = len(home.seen)
    assert requests.options(f"{vps.url}/nothing", headers=asked, timeout=10).status_code == 204
    assert len(home.seen) == seen
    assert vps.get("/echo", headers={"Origin": "app://evil"}).status_code == 403


def test_the_address_is_the_one_that_the_proxy_saw(vps, home):
    answer = vps.get("/echo", headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.7"})
    assert answer.json()["address"] == "203.0.113.7"


def test_a_part_of_a_file_can_be_fetched(vps, home):
    answer = vps.get("/file", headers={"Range": "bytes=1000-1999"})
    assert answer.status_code == 206 and answer.content == LARGE[1000:2000]
    assert answer.headers["Content-Range"] == f"bytes 1000-1999/{len(LARGE)}"
    again = vps.get("/file", headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert again.status_code == 200 and again.content == LARGE


def test_conditions_travel(vps, home):
    read = vps.get("/context/PROJECT_CONTEXT.md")
    assert read.headers["ETag"] == '"v1"'
    unchanged = vps.get("/context/PROJECT_CONTEXT.md", headers={"If-None-Match": '"v1"'})
    assert unchanged.status_code == 304 and unchanged.content == b""
    written = vps.request(
        "PUT", "/context/PROJECT_CONTEXT.md", headers={"If-Match": '"v1"'}, json={"text": "y"}
    )
    assert written.json() == {"match": '"v1"'}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/teapot", 418), ("PUT", "/context/PROJECT_CONTEXT.md", 428), ("GET", "/nothing/there", 404)],
)
def test_what_the_desktop_refuses_stays_refused(vps, home, method, path, status):
    answer = vps.request(method, path)
    assert answer.status_code == status and answer.headers["X-Tier"] == "desktop"


def test_events_arrive_as_they_are_made(vps, home):
    with vps.get("/events", stream=True) as answer:
        parts = answer.iter_content(None)
        assert next(parts) == b'id: 1\ndata: {"token":"one"}\n\n'
        assert home.blocked.wait(10)
        home.go.set()
        assert b"".join(parts) == b'id: 2\ndata: {"done":true}\n\n'


def test_a_client_that_leaves_ends_the_desktops_work(vps, home):
    answer = vps.get("/events", stream=True)
    next(answer.iter_content(None))
    answer.close()
    assert home.left.wait(10)
    assert not home.go.is_set()
    wait_until(lambda: home.desktop.connection.streams == 0)


def test_a_client_that_leaves_before_the_answer_begins_ends_it_too(vps, home):
    client = http.client.HTTPConnection("127.0.0.1", vps.port, timeout=20)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    client.request("POST", "/v1/completions", '{"prompt": "x"}', headers)
    assert home.blocked.wait(10)
    client.close()
    assert home.left.wait(10)
    wait_until(lambda: home.desktop.connection.streams == 0)
    assert vps.get("/teapot").status_code == 418


def test_a_large_body_goes_both_ways(vps, home):
    body = b"x" * (1024 * 1024)
    assert len(vps.post("/echo", headers={"Content-Type": "text/plain"}, data=body).json()["body"]) == len(
        body
    )
    home.go.set()
    assert vps.get("/large").content == LARGE


def test_no_place_is_lost_by_answers_of_any_kind(vps, home):
    home.go.set()
    for _ in range(20):  # there are 8 places
        assert vps.get("/large").content == LARGE
        assert vps.get("/events").status_code == 200
        assert vps.get("/teapot").status_code == 418
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            vps.get("/half")


def test_a_body_that_is_too_large_is_refused_here(vps, home):
    answer = vps.request("PUT", "/echo", data=b"x" * (3 * 1024 * 1024))
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "payload_too_large"
    assert ("PUT", "/echo") not in home.seen

    def pieces():
        for _ in range(3 * 16):
            yield b"x" * 65536

    answer = vps.request("PUT", "/echo", data=pieces())
    assert answer.status_code == 413
    assert ("PUT", "/echo") not in home.seen


@pytest.mark.parametrize("authorization", [None, "Bearer wrong"])
@pytest.mark.parametrize("path", ["/echo", "/conversations", "/runs/abc"])
def test_without_the_key_nothing_is_passed_on(vps, home, path, authorization):
    assert vps.get(path, headers={"Authorization": authorization}).status_code == 401
    assert home.seen == []


def test_a_desktops_credential_is_not_for_its_own_routes(vps, home):
    answer = vps.get("/echo", headers={"Authorization": f"Bearer {vps.credential}"})
    assert answer.status_code == 403 and answer.json()["error"]["code"] == "not_for_desktops"


def test_the_page_is_this_tiers_own_also_beside_a_desktop(vps, home):
    page = vps.get("/", headers={"Authorization": None})
    assert page.headers["Content-Type"].startswith("text/html")
    assert ("GET", "/") not in home.seen


def test_the_client_may_want_the_vps(vps, home):
    answer = vps.get("/conversations", headers={"X-Tier": "vps"})
    assert answer.json()["conversations"] is not None
    assert answer.headers["X-Tier"] == "vps" and answer.headers["X-Tier-Reason"] == "the vps was asked for"


def test_a_wish_for_a_tier_that_does_not_exist_is_refused(vps, home):
    answer = vps.get("/conversations", headers={"X-Tier": "moon"})
    assert answer.status_code == 400 and "'moon'" in answer.json()["error"]["message"]


def test_a_run_that_is_not_known_here_is_asked_for_there(vps, home):
    assert vps.get("/runs/abc").json()["target"] == "/runs/abc"


@pytest.mark.parametrize(
    "path", ["/health", "/info", "/metrics", "/openapi.json", "/model/info", "/ready", "/desktops"]
)
def test_what_is_about_this_server_is_answered_here(vps, home, path):
    assert vps.get(path).status_code == 200
    assert home.seen == []


def test_reading_that_loses_the_desktop_is_answered_here(vps, home):
    answer = vps.get("/search?q=word")
    assert answer.status_code == 200 and answer.json() == {"results": []}
    assert answer.headers["X-Tier"] == "vps"
    assert answer.headers["X-Tier-Reason"] == "the desktop was lost while it answered"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/context/SESSION_LOG.md/entries"), ("PUT", "/context/SESSION_BRIEFING.md")],
)
def test_writing_that_loses_the_desktop_says_that_it_may_have_happened(vps, home, method, path):
    answer = vps.request(method, path, json={"text": "entry"}, headers={"If-Match": "*"})
    assert answer.status_code == 502
    error = answer.json()["error"]
    assert error["code"] == "tier_lost" and "look before you send it again" in error["hint"]


def test_asking_a_model_that_loses_the_desktop_is_answered_here(vps, home):
    answer = vps.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]})
    assert answer.status_code == 200 and answer.headers["X-Tier"] == "vps"
    assert answer.json()["choices"][0]["message"]["content"].endswith("Hi")


@pytest.mark.parametrize("name", ["orchestrator", "orchestrator:latest"])
def test_asking_the_assistant_that_loses_the_desktop_is_not_done_twice(vps, home, name):
    answer = vps.post("/v1/chat/completions", {"model": name, "messages": HELLO})
    assert answer.status_code == 502 and answer.json()["error"]["code"] == "tier_lost"


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/api/chat", {"model": "m", "stream": False, "messages": HELLO}, ("message", "content")),
        ("/api/generate", {"model": "m", "stream": False, "prompt": "Hi"}, ("response",)),
        ("/v1/messages", {"model": "m", "max_tokens": 20, "messages": HELLO}, ("content", 0, "text")),
        ("/v1/responses", {"model": "m", "input": "Hi"}, ("output", 0, "content", 0, "text")),
    ],
)
def test_without_the_desktop_every_contract_is_answered_here(vps, path, body, place):
    answer = vps.post(path, body)
    assert answer.status_code == 200 and answer.headers["X-Tier"] == "vps", answer.text
    said = answer.json()
    for key in place:
        said = said[key]
    assert said.endswith("Hi")


def test_a_broken_openai_stream_ends_with_an_error_event(vps, home):
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    text = vps.post("/v1/chat/completions", body).text
    first, second, rest = text.split("\n\n", 2)
    assert first == 'data: {"choices":[]}' and rest == ""
    error = json.loads(second.removeprefix("data: "))["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["code"] == "tier_lost"


def test_a_broken_event_stream_ends_with_an_error_event(vps, home):
    text = vps.get("/half?events=1").text
    assert text.startswith("event: error\ndata: ") and "tier_lost" in text


def test_a_download_that_breaks_off_is_not_taken_for_whole(vps, home):
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        vps.get("/half")


def test_a_desktop_that_answers_too_late_is_replaced_for_reading(vps, home):
    home.go.clear()
    answer = vps.get("/hang")
    assert answer.status_code in (502, 503)
    assert answer.json()["error"]["code"].startswith("tier_")
    assert vps.get("/conversations").headers["X-Tier"] == "desktop"


def test_a_desktop_that_is_not_ready_is_not_asked(vps, home):
    home.desktop.status = home.desktop.status.model_copy(update={"ready": False})
    home.desktop.there(ready=False)
    answer = vps.get("/conversations")
    assert answer.headers["X-Tier"] == "vps" and "not ready" in answer.headers["X-Tier-Reason"]


def test_without_a_desktop_the_vps_answers_what_it_can(vps):
    answer = vps.get("/conversations")
    assert answer.headers["X-Tier"] == "vps" and "the desktop is away" in answer.headers["X-Tier-Reason"]
    only_there = vps.get("/jobs")
    assert only_there.status_code == 503 and only_there.json()["error"]["code"] == "tier_unreachable"
    wished = vps.get("/conversations", headers={"X-Tier": "desktop"})
    assert wished.status_code == 503 and wished.json()["error"]["code"] == "tier_unreachable"
    assert vps.request("PUT", "/conversation").status_code == 405


def test_what_a_full_desktop_cannot_keep_is_kept_here(vps, home):
    home.full = True
    begun = vps.post("/conversations", {})
    assert begun.status_code == 201, begun.text
    assert (begun.headers["X-Tier"], begun.headers["X-Tier-Reason"]) == (
        "vps",
        "the desktop cannot store anything",
    )


def test_a_full_desktop_that_was_asked_for_or_alone_can_do_it_says_so(vps, home):
    home.full = True
    asked_for = vps.request("POST", "/conversations", json={}, headers={"X-Tier": "desktop"})
    alone = vps.get("/echo")
    assert [answer.json()["error"]["code"] for answer in (asked_for, alone)] == ["storage_full"] * 2
    assert (asked_for.status_code, alone.status_code) == (507, 507)

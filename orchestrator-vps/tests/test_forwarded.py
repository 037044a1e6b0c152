"""Which requests travel, and what of their headers."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from orchestrator_relay.heads import RequestHead
from orchestrator_vps import forwarded

names = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-", min_size=1, max_size=20)
values = st.text(st.characters(max_codepoint=255), max_size=50)
headers = st.lists(
    st.tuples(
        st.one_of(names, st.sampled_from([*forwarded.HOP_BY_HOP, "Connection", "Host", "X-Api-Key"])), values
    ),
    max_size=20,
)


@given(headers)
@example([("A", "\n")])
def test_whatever_comes_in_what_travels_fits_into_a_frame(given_headers):
    travelling = forwarded.request_headers(given_headers)
    RequestHead(method="GET", target="/", headers=tuple(travelling.items()))
    assert not travelling.keys() & forwarded.HOP_BY_HOP
    assert not travelling.keys() & {"authorization", "x-api-key", "host", "origin", "x-tier"}


@given(headers)
def test_an_answers_headers_keep_their_order_and_what_belongs_to_one_hop_is_lost(given_headers):
    kept = forwarded.response_headers(given_headers)
    rest = iter(given_headers)
    assert all(any(one == other for other in rest) for one in kept)
    assert not {name.lower() for name, _ in kept} & forwarded.HOP_BY_HOP


def test_headers_that_connection_names_are_of_one_hop_too():
    given_headers = [
        ("Connection", "close, X-A"),
        ("connection", "x-b"),
        ("X-A", "1"),
        ("X-B", "2"),
        ("X-C", "3"),
    ]
    assert forwarded.request_headers(given_headers) == {"x-c": "3"}
    assert forwarded.response_headers([("Connection", "ETag"), ("ETag", "1"), ("Vary", "x")]) == [
        ("Vary", "x")
    ]


def test_repeated_request_headers_are_joined():
    assert forwarded.request_headers([("Accept", "a"), ("accept", "b")]) == {"accept": "a, b"}


@pytest.mark.parametrize(
    "name",
    [
        "Set-Cookie", "Content-Security-Policy", "Location", "Access-Control-Allow-Origin", "Clear-Site-Data",
        "Strict-Transport-Security", "Refresh", "Content-Length", "Service-Worker-Allowed", "X-Tier", "X-Anything",
    ],
)  # fmt: skip
def test_an_answer_cannot_speak_for_this_server(name):
    assert forwarded.response_headers([(name, "x"), ("ETag", "1")]) == [("ETag", "1")]


@pytest.mark.parametrize(
    "name", ["Range", "If-Range", "If-Match", "If-None-Match", "Last-Event-ID", "Accept", "Content-Type"]
)
def test_what_the_desktop_has_to_know_travels(name):
    assert forwarded.request_headers([(name, "x")]) == {name.lower(): "x"}


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Host", "Via"])
def test_what_a_client_says_of_proxies_does_not(name):
    assert forwarded.request_headers([(name, "x")]) == {}


@given(
    st.text(st.characters(max_codepoint=255), max_size=60),
    st.text(st.characters(max_codepoint=255), max_size=60),
)
def test_every_target_fits_into_a_frame(path, query):
    for environ in ({"RAW_URI": f"/{path}?{query}"}, {"RAW_URI": "http://x/"}, {}):
        target = forwarded.target(
            environ, f"/{path}", query.encode("ascii", "ignore").decode().replace(" ", "")
        )
        assert target.startswith("/") and "#" not in target and " " not in target
        assert all("!" <= one <= "~" for one in target)


def test_a_target_is_kept_as_it_was_written():
    assert forwarded.target({"RAW_URI": "/a%2Fb/%C3%BC?x=%20"}, "/a/b/ü", "") == "/a%2Fb/%C3%BC?x=%20"


@given(st.text())
def test_words_for_people_are_always_a_header(text):
    value = forwarded.in_a_header(text)
    assert len(value) <= 300 and value.isascii() and value.isprintable()

"""The wire format of streams, and how a stream ends when nobody needs it any more."""

import json
import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.errors import ServerStopping
from orchestrator_core.runs.spec import RunEvent
from orchestrator_http import sse
from orchestrator_http.completions import watching
from orchestrator_http.completions.watching import ClientGone, RunWatcher
from support.desktop import events


class Silent:
    """A run that says one token and then nothing."""

    run_id = "r1"

    def events(self, after, timeout):
        yield RunEvent(1, "token", {"token": "Hi"})
        while True:
            yield None


@pytest.fixture
def services():
    return SimpleNamespace(closing=threading.Event())


@given(st.text(), st.integers(1, 2**40))
def test_a_frame_is_one_event_whatever_the_text(text, offset):
    (found,) = events(sse.frame({"token": text}, event_id=offset).decode().replace("\r\n", "\n"))
    assert found == {"id": offset, "event": None, "data": {"token": text}}


def test_line_breaks_never_break_a_frame():
    raw = sse.frame({"token": "a\nb\r\nc\u2028d\x85e"})
    assert raw.count(b"\n") == 2 and b"\r" not in raw
    assert json.loads(raw.decode().removeprefix("data: "))["token"] == "a\nb\r\nc\u2028d\x85e"


def test_silence_is_filled_with_pings(services, monkeypatch):
    monkeypatch.setattr(watching, "PING_S", 0.0)
    frames = sse.run_frames("r1", RunWatcher(services, lambda: False).events(Silent()))
    assert [next(frames) for _ in range(4)] == [
        b": run r1\n\n",
        b'id: 1\ndata: {"token":"Hi"}\n\n',
        sse.PING,
        sse.PING,
    ]


def test_no_ping_comes_before_its_time(services):
    ticks = iter([False] * 50 + [True])
    watcher = RunWatcher(services, lambda: next(ticks))
    with pytest.raises(ClientGone):
        assert list(watcher.events(Silent())) == [RunEvent(1, "token", {"token": "Hi"})]


def test_a_closing_server_ends_the_stream_and_says_where_to_go_on(services):
    watched = RunWatcher(services, lambda: False).events(Silent())
    next(watched)
    services.closing.set()
    with pytest.raises(ServerStopping) as caught:
        next(watched)
    assert "/runs/r1" in caught.value.hint


def test_pings_are_sent_every_15_seconds():
    assert watching.PING_S == 15.0

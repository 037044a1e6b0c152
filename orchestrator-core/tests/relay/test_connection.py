"""The life of a connection, both ends of it over a real loopback socket."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from orchestrator_relay import heads
from orchestrator_relay.errors import AnswerLost, RequestNotSent
from orchestrator_relay.heads import RequestHead
from orchestrator_relay.server_stream import RequestBody, ServedResponse
from support.relay_ends import answering, connected, echo, get
from support.waiting import wait_until

SOON_S = 20.0


def test_a_lost_connection_ends_everything_at_once() -> None:
    began, gone = threading.Event(), threading.Event()

    def serve(head: RequestHead, given: RequestBody) -> ServedResponse:
        if head.target == "/silent":
            began.set()
            wait_until(given.gone)
            gone.set()
        return ServedResponse(200, (), iter(lambda: b"x" * 100, None))

    with connected(serve) as (vps, desktop), ThreadPoolExecutor(2) as pool:
        stream = vps.open(get("/stream"))
        waiting = pool.submit(vps.open, get("/silent"))
        assert began.wait(SOON_S)
        desktop.close()
        with pytest.raises(AnswerLost):
            waiting.result(SOON_S)
        with pytest.raises(AnswerLost):
            for _ in stream.chunks():
                pass
        assert gone.wait(SOON_S)
        with pytest.raises(RequestNotSent) as caught:
            vps.open(get())
        assert not isinstance(caught.value, AnswerLost)
        ending = vps.wait(SOON_S)
        assert ending is not None and ending.by_peer
        wait_until(lambda: desktop.streams == 0)


def test_notices_and_their_answers() -> None:
    seen: list[str] = []
    with connected(echo, desktop={"on_notice": seen.append}, vps={"on_synced": seen.append}) as (
        vps,
        desktop,
    ):
        vps.notice("0123456789abcdef")
        wait_until(lambda: seen == ["0123456789abcdef"])
        desktop.synced("0123456789abcdef")
        wait_until(lambda: len(seen) == 2)


def test_goodbye_says_why() -> None:
    with connected(echo) as (vps, desktop):
        vps.goodbye(heads.REVOKED, "This desktop was taken off the list.")
        ending = desktop.wait(SOON_S)
        assert ending == (heads.REVOKED, "This desktop was taken off the list.", True)
        assert vps.ending is not None and not vps.ending.by_peer


def test_a_goodbye_is_heard_by_a_side_that_was_just_writing() -> None:
    """Its writes fail, as the socket is closed already; what it could still read is read."""
    for _ in range(30):
        with connected(
            answering(lambda: iter(lambda: b"x" * 5000, None)), desktop={"heartbeat_s": 0.002}
        ) as (
            vps,
            desktop,
        ):
            vps.open(get())
            vps.goodbye(heads.REVOKED, "Off the list.")
            ending = desktop.wait(SOON_S)
            assert ending is not None and ending.code == heads.REVOKED


def test_repr_tells_no_secret_and_whether_it_lives() -> None:
    with connected(echo) as (vps, _):
        assert repr(vps) == "RelayConnection('vps-end', open)"


def test_no_thread_stays_behind() -> None:
    before = threading.active_count()
    for _ in range(5):
        with connected(answering([b"x"])) as (vps, _):
            vps.open(get()).close()
    wait_until(lambda: all("worker" in one.name for one in threading.enumerate()[before:]))

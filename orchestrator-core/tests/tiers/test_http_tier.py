"""A tier behind HTTP: real servers, real sockets, and what they do wrong."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from ai_orchestrator.overflow import EnrolledVps
from ai_orchestrator.server import Server
from ai_orchestrator.vps_link import credentials
from ai_orchestrator.vps_link.credentials import VpsCredential
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.backend import BackendStats
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import Overloaded, TierLost, TierUnreachable
from orchestrator_core.settings import Settings
from orchestrator_core.tiers.http_tier import HttpTier
from shared_context.exchange.replica import Replica
from support.desktop import settings_for
from support.ports import nobody_listens
from support.scripted import BACKEND, Gate, Reply, ScriptedBackend
from support.two_tiers import WAIT, last
from support.waiting import wait_until

Talk = Callable[[socket.socket], None]


@contextmanager
def server_that(talks: Talk) -> Iterator[str]:
    """A server that reads a request's head and then does what it is told, for each connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=answer, args=(peer,), daemon=True))
            threads[-1].start()

    def answer(peer: socket.socket) -> None:
        with peer:
            head = b""
            while b"\r\n\r\n" not in head and (part := peer.recv(4096)):
                head += part
            talks(peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(WAIT)


def tier(url: str, **options: Any) -> HttpTier:
    return HttpTier("vps", url, requests.Session(), exchange=options.pop("exchange", lambda: True), **options)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Run-Id: r1\r\n\r\n"


def test_the_head_comes_before_the_body_and_chunks_as_they_are_sent() -> None:
    more = threading.Event()

    def talk(peer: socket.socket) -> None:
        peer.sendall(CHUNKED + b"5\r\nfirst\r\n")
        more.wait(WAIT)
        peer.sendall(b"6\r\nsecond\r\n0\r\n\r\n")

    with server_that(talk) as url:
        response = tier(url).open("GET", "/runs/r1/stream?from=0")
        assert (response.status, response.headers["x-run-id"]) == (200, "r1")
        chunks = response.chunks()
        assert next(chunks) == b"first"
        more.set()
        assert list(chunks) == [b"second"]
        response.close()


def test_a_server_that_is_not_there_was_not_asked() -> None:
    with nobody_listens() as port:
        away = tier(f"http://127.0.0.1:{port}")
        with pytest.raises(TierUnreachable, match="cannot be reached") as caught:
            away.open("POST", "/chat/stream", body=b"{}")
    assert not isinstance(caught.value, TierLost)
    assert not away.state().reachable


def test_a_server_that_leaves_without_an_answer_may_have_done_it() -> None:
    with server_that(lambda peer: None) as url, pytest.raises(TierLost):
        tier(url).open("POST", "/chat/stream", body=b"{}")


def test_a_server_that_never_answers_is_lost_in_time() -> None:
    gone = threading.Event()
    with server_that(lambda peer: gone.wait(WAIT) and None) as url:  # type: ignore[func-returns-value]
        with pytest.raises(TierLost, match="no answer in time"):
            tier(url).open("POST", "/chat/stream", body=b"{}", timeout_s=0.1)
        gone.set()


@pytest.mark.parametrize("rest", [b"", b"5\r\nfir", b"zz\r\n"])
def test_an_answer_that_breaks_off_is_a_loss(rest: bytes) -> None:
    with server_that(lambda peer: peer.sendall(CHUNKED + b"4\r\nhalf\r\n" + rest)) as url:
        chunks = tier(url).open("GET", "/").chunks()
        assert next(chunks) == b"half"
        with pytest.raises(TierLost):
            list(chunks)


def test_closing_ends_a_reader_that_waits() -> None:
    gone = threading.Event()

    def talk(peer: socket.socket) -> None:
        peer.sendall(CHUNKED)
        gone.wait(WAIT)

    with server_that(talk) as url:
        response = tier(url).open("GET", "/")
        found: list[Exception] = []

        def read() -> None:
            try:
                list(response.chunks())
            except TierLost as error:
                found.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        response.close()
        reader.join(WAIT)
        assert not reader.is_alive()
        assert len(found) == 1
        gone.set()


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_accepted_is_no_answer_to_a_client(status: int) -> None:
    said = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
    refused = pytest.raises(TierUnreachable, match="does not accept this tier's key")
    with server_that(lambda peer: peer.sendall(said)) as url, refused:
        tier(url).open("POST", "/chat/stream", body=b"{}")


def _info(**fields: Any) -> bytes:
    body = json.dumps(fields).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)


def test_its_state_is_what_it_says_and_how_long_it_was_there() -> None:
    answers = [_info(state="loading"), _info(state="ready", waiting=3), b"", _info(state="ready"), b"junk"]
    moments = iter(range(0, 1000, 5))
    with server_that(lambda peer: peer.sendall(answers.pop(0))) as url:
        seen = tier(url, clock=lambda: float(next(moments)))
        assert seen.state().why == "it was not looked at yet"
        seen.look()
        first = seen.state()
        assert (first.reachable, first.ready, first.why) == (True, False, "its model is not ready")
        seen.look()
        assert (seen.state().ready, seen.state().queue) == (True, 3)
        seen.look()
        assert (seen.state().reachable, seen.state().drops) == (False, 1)
        seen.look()
        assert seen.state().up_s == 5
        assert seen.state().drops == 1
        seen.look()
        assert not seen.state().reachable


def test_a_state_that_is_old_is_none() -> None:
    now = [0.0]
    with server_that(lambda peer: peer.sendall(_info(state="ready"))) as url:
        seen = tier(url, clock=lambda: now[0])
        seen.look()
        assert seen.state().reachable
        now[0] = 16
        assert not seen.state().reachable


def test_settling_is_an_exchange_in_time() -> None:
    assert tier("http://127.0.0.1:1", exchange=lambda: True).settle(WAIT)
    assert not tier("http://127.0.0.1:1", exchange=lambda: False).settle(WAIT)
    late = threading.Event()
    assert not tier("http://127.0.0.1:1", exchange=lambda: late.wait(WAIT)).settle(0.05)
    late.set()
    waiting = threading.Event()
    slow = tier("http://127.0.0.1:1", exchange=lambda: waiting.wait(WAIT))
    before = threading.active_count()
    assert not any(slow.settle(0.02) for _ in range(10))
    assert threading.active_count() <= before + 1
    waiting.set()
    assert slow.settle(WAIT)

    def broken() -> bool:
        raise OSError("no")

    assert not tier("http://127.0.0.1:1", exchange=broken).settle(WAIT)


class Busy(ScriptedBackend):
    """A model with as many waiting as a test says."""

    waiting = 0

    def stats(self) -> BackendStats:
        return BackendStats(waiting=self.waiting, loaded=True)


@contextmanager
def enrolled(folder: Path, desktop: Busy, vps: Busy) -> Iterator[tuple[Assistant, Assistant]]:
    """A desktop that is enrolled with a VPS, whose server listens on a real socket."""
    there = settings_for(folder / "vps")
    with open_assistant(there, "vps", backend=vps) as vps_assistant, Server(there, vps_assistant) as server:
        server.services.model.ensure(WAIT)
        here = Settings.model_validate(
            {"data": folder / "desktop", "model": {"backend": BACKEND}, "relay": {"overflow_queue": 2}}
        )
        credentials.write(here.data, VpsCredential(server.url, "d1", "secret"))
        remote = EnrolledVps(here)
        with open_assistant(here, backend=desktop, remote=remote) as assistant:
            assistant.also_close(remote.close)
            remote.replica = Replica(assistant.conversations, assistant.context, name="desktop")
            wait_until(lambda: remote.state().ready)
            yield assistant, vps_assistant


class TestOverflow:
    def test_a_busy_desktop_passes_a_question_on_and_keeps_the_answer(self, tmp_path: Path) -> None:
        desktop = Busy(otherwise="From home.", name="large")
        with enrolled(tmp_path, desktop, Busy(otherwise="From the VPS.", name="small")) as (home, away):
            assert last(home.ask(ChatRequest(message="One?"))).data["tier"] == "desktop"
            desktop.waiting = 3
            done = last(home.ask(ChatRequest(message="Two?"))).data
            assert (done["tier"], done["model"], done["response"]) == ("vps", "small", "From the VPS.")
            assert done["reason"] == "the desktop is busy (3 answers wait there)"
            said = ["One?", "From home.", "Two?", "From the VPS."]
            assert [one.content for one in home.conversations.messages("default")] == said
            assert [one.content for one in away.conversations.messages("default")] == said

    def test_what_is_too_much_there_as_well_waits_here(self, tmp_path: Path) -> None:
        desktop = Busy(otherwise="From home.", name="large")
        full = Busy([Reply(refuse=Overloaded("Full."))], name="small")
        with enrolled(tmp_path, desktop, full) as (home, _):
            desktop.waiting = 3
            assert last(home.ask(ChatRequest(message="One?"))).data["tier"] == "desktop"

    def test_a_vps_that_is_lost_in_mid_answer_is_replaced_by_the_desktop(self, tmp_path: Path) -> None:
        gate = Gate()
        desktop = Busy(otherwise=" and home again.", name="large")
        vps = Busy([Reply(text="Out there, far away", gate=gate)], name="small")
        with enrolled(tmp_path, desktop, vps) as (home, away):
            desktop.waiting = 3
            gate.allow(2)
            run = home.ask(ChatRequest(message="One?"))
            away.runs.get(run.run_id)
            # The server's process is not killed: its run is interrupted, as when it is stopped.
            away.runs.get(run.run_id).interrupt()
            text = run.wait(WAIT).text
            gate.open()
            assert text == "Out there and home again."
            done = last(run).data
            assert done["tier"] == "desktop"
            assert done["reason"].startswith("the vps was lost in mid-answer")

    def test_without_a_vps_the_desktop_answers_itself(self, tmp_path: Path) -> None:
        settings = Settings.model_validate(
            {"data": tmp_path, "model": {"backend": BACKEND}, "relay": {"overflow_queue": 0}}
        )
        backend = Busy(otherwise="From home.", name="large")
        backend.waiting = 5
        remote = EnrolledVps(settings)
        assert remote.state().why == "this desktop is not enrolled with a VPS"
        with open_assistant(settings, backend=backend, remote=remote) as assistant:
            assert last(assistant.ask(ChatRequest(message="One?"))).data["tier"] == "desktop"
            with pytest.raises(TierUnreachable, match="not enrolled"):
                assistant.ask(ChatRequest(message="One?", tier="vps"))
        remote.close()

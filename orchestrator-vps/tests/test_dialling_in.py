"""Desktops that dial in: who is let in, who is not, what becomes of them. A real process, real WebSockets."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import psutil
import pytest
from orchestrator_relay import heads
from orchestrator_relay.errors import GreetingRefused, SocketClosed
from orchestrator_relay.frames import FrameKind, decode, encode
from orchestrator_relay.greeting import introduce
from orchestrator_relay.heads import Goodbye, Hello
from orchestrator_relay.server_stream import ServedResponse
from support.vps import KEY, QUICK, DialRefused, PlayedDesktop, Vps, dial
from support.waiting import wait_until


def who(name):
    return lambda head, body: ServedResponse(200, (("Content-Type", "text/plain"),), [name.encode()])


def asks_model(vps):
    return vps.post("/v1/completions", {"prompt": "x"})


@pytest.fixture(scope="module")
def vps(tmp_path_factory):
    with Vps(tmp_path_factory.mktemp("vps"), **QUICK) as running:
        running.credential = running.enroll(replica="home").json()["credential"]
        yield running
        assert "Traceback" not in running.errors, running.errors


@pytest.fixture
def desktop(vps):
    with PlayedDesktop(vps, who("home"), credential=vps.credential) as found:
        yield found.there()
    wait_until(lambda: not vps.desktop()["reachable"])


def refusal(vps, credential):
    """Why a desktop with this credential is not let in behind the handshake."""
    sock = dial(vps.port, credential)
    try:
        with pytest.raises(GreetingRefused) as caught:
            introduce(sock, Hello())
    finally:
        sock.release()
    return caught.value.code


def goodbye_of(sock):
    while True:
        frame = decode(sock.receive(10))
        if frame.kind is FrameKind.GOODBYE:
            return Goodbye.unpack(frame.payload).code


@pytest.mark.parametrize(
    ("credential", "status"), [(None, 401), ("wrong", 401), (KEY, 403), ("x" * 4000, 401), ("a b", 401)]
)
def test_a_wrong_credential_is_refused_before_the_handshake(vps, credential, status):
    with pytest.raises(DialRefused) as caught:
        dial(vps.port, credential)
    assert caught.value.status == status


def test_the_greeting_says_who_answers(vps, desktop):
    assert desktop.welcome.role == "source" and desktop.welcome.tier == "vps"
    assert desktop.welcome.heartbeat_s == 0.3 and desktop.welcome.silence_s == 1.5
    state = vps.desktop()
    assert state["reachable"] and state["ready"] and state["queue"] == 0 and state["why"] == ""


def test_its_queue_is_known_and_decides(vps, desktop):
    desktop.status = desktop.status.model_copy(update={"queue": 7})
    wait_until(lambda: vps.desktop()["queue"] == 7)


def test_the_list_says_that_it_is_connected(vps, desktop):
    listed = vps.get("/desktops").json()["desktops"]
    assert any(one["connected"] and one["seen_at"] for one in listed)


def test_a_second_dial_in_is_refused_while_the_first_lives(vps, desktop):
    assert refusal(vps, vps.credential) == heads.DUPLICATE
    assert vps.get("/search").text == "home"


def test_refusals_leave_nothing_open(vps, desktop):
    refusal(vps, vps.credential)
    before = vps.worker.num_fds()
    for _ in range(5):
        assert refusal(vps, vps.credential) == heads.DUPLICATE
    wait_until(lambda: vps.worker.num_fds() <= before)


def test_a_second_dial_in_replaces_one_that_is_dead(vps):
    """The first is suspended: its socket stays open, and nothing comes from it."""
    former = dial(vps.port, vps.credential)
    introduce(former, Hello())
    with PlayedDesktop(vps, who("the second"), credential=vps.credential) as desktop:
        desktop.there()
        assert vps.get("/search").text == "the second"
        assert goodbye_of(former) in (heads.REPLACED, heads.SILENT)
    former.close()
    former.release()


def test_a_desktop_that_falls_silent_is_lost_within_the_limit(vps):
    silent = dial(vps.port, vps.credential)
    introduce(silent, Hello())
    wait_until(lambda: vps.desktop()["reachable"])
    wait_until(lambda: vps.desktop()["why"] == "it does not answer")
    assert vps.get("/conversations").headers["X-Tier"] == "vps"
    silent.close()
    silent.release()


def test_a_closed_socket_is_noticed_at_once(vps):
    with PlayedDesktop(vps, who("x"), credential=vps.credential, heartbeat_s=30) as desktop:
        desktop.there()
        desktop.cut()
        wait_until(lambda: not vps.desktop()["reachable"])
        assert vps.desktop()["why"] == "the connection was lost" and vps.desktop()["drops"] >= 1


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x00",
        b"\xff" * 50,
        encode(FrameKind.HELLO, 0, b"{}")[:5] + b"not json",
        encode(FrameKind.CHUNK, 7, b"x"),
        encode(FrameKind.REQUEST, 1, b"{}"),
        encode(FrameKind.WELCOME, 0, b"{}"),
        b"\x01" + b"\x00" * 4 + b"[" * 60_000,
    ],
)
def test_garbage_instead_of_a_greeting_closes_that_connection_only(vps, desktop, sent):
    other = vps_extra(vps)
    sock = dial(vps.port, other)
    sock.send(sent)
    with pytest.raises(SocketClosed):
        while sock.receive(10) is not None:
            pass
    sock.release()
    assert vps.get("/search").text == "home"


def vps_extra(vps):
    """A credential of another desktop; made beside the server, which would refuse it."""
    from orchestrator_vps.credentials import Credentials
    from shared_context.storage.identity import new_id

    with Credentials(vps.data) as credentials:
        return credentials.enroll(credentials.new_code(), "lender", new_id(), "serve")[1]


@pytest.mark.parametrize(
    "sent",
    [
        encode(FrameKind.CHUNK, 99, b"x"),
        encode(FrameKind.HEAD, 99, b"{}"),
        encode(FrameKind.REQUEST, 1, b'{"method":"GET","target":"/health"}'),
        encode(FrameKind.HELLO, 0, b"{}"),
        encode(FrameKind.CREDIT, 5, b"\x00\x00\x00\x01"),
        b"\x13\x00\x00",
        b"\x7f" + b"\x00" * 100,
    ],
)
def test_garbage_behind_the_greeting_closes_the_connection_with_a_reason(vps, sent):
    sock = dial(vps.port, vps.credential)
    introduce(sock, Hello())
    sock.send(sent)
    assert goodbye_of(sock) == heads.PROTOCOL_ERROR
    sock.release()
    wait_until(lambda: not vps.desktop()["reachable"])


def test_a_message_that_is_too_large_closes_the_connection(vps):
    sock = dial(vps.port, vps.credential)
    introduce(sock, Hello())
    with pytest.raises(SocketClosed):
        for _ in range(100):
            sock.send(b"\x13" + b"\x00" * 200_000)
    sock.release()
    wait_until(lambda: not vps.desktop()["reachable"])


def test_a_desktop_that_answers_with_garbage_is_dropped_and_replaced(vps):
    def serve(head, body):
        sock.send(encode(FrameKind.HEAD, 4_000_000, b"garbage"))
        return ServedResponse(200, (), [b""])

    desktop = PlayedDesktop(vps, serve, credential=vps.credential)
    sock = desktop._socket
    with desktop.there():
        answer = vps.get("/search?q=x")
        assert answer.status_code == 200 and answer.headers["X-Tier"] == "vps"
        assert desktop.ending().code == heads.PROTOCOL_ERROR


def test_an_extra_desktop_is_refused_by_default(vps, desktop):
    answer = vps.enroll(replica="another")
    assert answer.status_code == 409 and "source of truth" in answer.json()["error"]["message"]
    assert refusal(vps, vps_extra(vps)) == heads.REFUSED


def test_revoking_ends_the_connection_at_once(vps):
    answer = vps.enroll(replica="home").json()
    vps.credential = answer["credential"]
    with PlayedDesktop(vps, who("x"), credential=vps.credential) as desktop:
        desktop.there()
        vps.request("DELETE", f"/desktops/{answer['desktop_id']}")
        ending = desktop.ending()
        assert ending.code == heads.REVOKED and ending.by_peer
    with pytest.raises(DialRefused) as caught:
        dial(vps.port, vps.credential)
    assert caught.value.status == 401 and b'"revoked"' in caught.value.body
    vps.credential = vps.enroll(replica="home").json()["credential"]


def test_revoking_beside_the_server_ends_it_within_two_seconds(vps, desktop):
    (desktop_id,) = [one["desktop_id"] for one in vps.get("/desktops").json()["desktops"] if one["connected"]]
    done = vps.command("revoke", desktop_id)
    assert done.returncode == 0 and "may no longer connect" in done.stdout
    assert desktop.ending().code == heads.REVOKED
    assert desktop_id in vps.command("desktops").stdout
    vps.credential = vps.enroll(replica="home").json()["credential"]


def test_a_change_of_the_memory_is_told_at_once(vps, desktop):
    wait_until(lambda: desktop.notices)
    before = len(desktop.notices)
    vps.post("/conversations", {"title": "new"}, headers={"X-Tier": "vps"})
    wait_until(lambda: len(desktop.notices) > before)


def test_a_desktop_that_never_takes_anything_in_holds_requests_up_once(vps):
    with PlayedDesktop(vps, who("home"), credential=vps.credential, syncs=False) as desktop:
        desktop.there()
        vps.post("/conversations", {"title": "new"}, headers={"X-Tier": "vps"})
        for _ in range(3):
            assert vps.get("/search").text == "home"
    wait_until(lambda: not vps.desktop()["reachable"])


def test_extra_desktops_lend_their_models_when_they_may(tmp_path):
    with Vps(tmp_path, ORCHESTRATOR_RELAY__EXTRA_DESKTOPS="serve", **QUICK) as vps:
        source = vps.enroll(replica="home").json()
        extra = vps.enroll(replica="other").json()
        assert (source["role"], extra["role"]) == ("source", "extra")
        with PlayedDesktop(vps, who("lent"), credential=extra["credential"]) as lender:
            assert lender.welcome.role == "extra"
            wait_until(lambda: asks_model(vps).text == "lent")
            answer = asks_model(vps)
            assert (
                answer.headers["X-Tier"] == "desktop" and "lends its model" in answer.headers["X-Tier-Reason"]
            )
            assert vps.get("/conversations").headers["X-Tier"] == "vps"
            assert lender.notices == []
            wished = vps.post("/v1/completions", {"prompt": "x"}, headers={"X-Tier": "vps"})
            assert wished.headers["X-Tier"] == "vps"
            with PlayedDesktop(vps, who("home"), credential=source["credential"]) as desktop:
                desktop.there()
                assert asks_model(vps).text == "home"


def test_a_slow_client_does_not_stall_another(vps):
    """One client stops reading in the middle of a large answer; others go on."""
    sent = threading.Event()

    def serve(head, body):
        def large():
            for _ in range(400):
                yield b"x" * 65536
            sent.set()

        return ServedResponse(200, (), large() if head.target == "/large" else [b"quick"])

    with PlayedDesktop(vps, serve, credential=vps.credential) as desktop:
        desktop.there()
        slow = socket.create_connection(("127.0.0.1", vps.port), 20)
        slow.sendall(
            f"GET /large HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()
        )
        assert slow.recv(1000).startswith(b"HTTP/1.1 200")
        for _ in range(20):
            assert vps.get("/quick", timeout=5).text == "quick"
        assert not sent.is_set()
        slow.close()
        wait_until(lambda: desktop.connection.streams == 0)


@pytest.mark.slow
def test_a_suspended_desktop_is_replaced_within_the_heartbeat_bound(tmp_path):
    """SIGSTOP to a real process that holds the connection: the socket stays open, nothing answers."""
    code = """
        import sys, time
        from orchestrator_relay.server_stream import ServedResponse
        from support.vps import PlayedDesktop
        class There: port = int(sys.argv[1])
        desktop = PlayedDesktop(There, lambda head, body: ServedResponse(200, (), [b"home"]), credential=sys.argv[2])
        print("in", flush=True)
        time.sleep(600)
    """
    with Vps(tmp_path, **QUICK) as vps:
        credential = vps.enroll().json()["credential"]
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(vps.port), credential],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            assert child.stdout.readline() == "in\n"
            wait_until(lambda: vps.desktop()["ready"])
            assert vps.get("/search?q=x").text == "home"
            child.send_signal(signal.SIGSTOP)
            wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED)
            answer = vps.get("/search?q=x", timeout=1.5 + 3)
            assert answer.status_code == 200 and answer.headers["X-Tier"] == "vps"
            child.send_signal(signal.SIGCONT)
        finally:
            child.kill()
            child.communicate()


@pytest.mark.slow
def test_a_hundred_and_twenty_clients_stream_through_one_connection(tmp_path):
    """With the default number of threads; more than there are places are told to come again."""
    go = threading.Event()

    def serve(head, body):
        def parts():
            yield b"data: one\n\n"
            assert go.wait(60)
            yield b"data: two\n\n"

        return ServedResponse(200, (("Content-Type", "text/event-stream"),), parts())

    with Vps(tmp_path) as vps, PlayedDesktop(vps, serve) as desktop:
        desktop.there()
        streams = []
        for _ in range(120):
            answer = vps.get("/events", stream=True)
            parts = answer.iter_content(None)
            assert next(parts) == b"data: one\n\n"
            streams.append((answer, parts))
        assert vps.get("/info", timeout=5).json()["relay"]["desktop"]["ready"]
        assert vps.worker.memory_info().rss / 1e6 < 150
        more = [vps.get("/events", stream=True) for _ in range(40)]
        assert {answer.status_code for answer in more} == {200, 429}
        go.set()
        assert all(b"".join(parts) == b"data: two\n\n" for _, parts in streams)
        for answer in [*more, *(answer for answer, _ in streams)]:
            answer.close()
        wait_until(lambda: desktop.connection.streams == 0)
        assert vps.get("/events").status_code == 200


class TestWhoUsesACredential:
    """A stolen credential is told to both owners at once. The proxy on loopback says where a client is."""

    @staticmethod
    def exchange(vps, address):
        headers = {"Authorization": f"Bearer {vps.credential}", "X-Forwarded-For": address}
        return vps.request("GET", "/ready", headers=headers)

    def test_from_elsewhere_beside_the_desktop(self, vps, desktop):
        assert desktop.welcome.address == "127.0.0.1"
        assert self.exchange(vps, "203.0.113.9").status_code == 200
        wait_until(lambda: desktop.connection.peer is not None and desktop.connection.peer.elsewhere)
        assert desktop.connection.peer.elsewhere == "203.0.113.9"
        (notice,) = vps.get("/info").json()["notices"]
        assert "used from 203.0.113.9 too" in notice and "revoke" in notice
        (listed,) = [one for one in vps.get("/desktops").json()["desktops"] if one["connected"]]
        assert (listed["address"], listed["elsewhere"]) == ("127.0.0.1", "203.0.113.9")
        assert "from 203.0.113.9 too" in vps.command("desktops").stdout
        assert "was used from 203.0.113.9 too" in vps.errors

    def test_the_desktops_own_requests_are_no_news(self, tmp_path):
        with Vps(tmp_path, **QUICK) as vps:
            vps.credential = vps.enroll().json()["credential"]
            with PlayedDesktop(vps, who("home"), credential=vps.credential) as desktop:
                desktop.there()
                assert self.exchange(vps, "127.0.0.1").status_code == 200
                assert vps.get("/info").json()["notices"] == []

    def test_one_that_dials_in_beside_it_is_told_from_where_the_living_one_comes(self, vps, desktop):
        sock = dial(vps.port, vps.credential)
        with pytest.raises(GreetingRefused) as caught:
            introduce(sock, Hello())
        sock.release()
        assert (caught.value.code, caught.value.address) == (heads.DUPLICATE, "127.0.0.1")

"""Keeping a connection: when it is lost, refused, revoked, and when the VPS cannot be reached."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ai_orchestrator.vps_link.backoff import Backoff
from ai_orchestrator.vps_link.credentials import VpsCredential
from ai_orchestrator.vps_link.dialler import Dialler
from ai_orchestrator.vps_link.link_state import LinkStateFile, read
from orchestrator_core.settings import RelaySettings
from orchestrator_relay import heads
from orchestrator_relay.connection import RelayConnection
from orchestrator_relay.heads import Hello, Status, Welcome
from support.children import Child
from support.played_vps import CREDENTIAL, PlayedVps, self_signed
from support.relay_ends import answering, get
from support.waiting import wait_until

QUICK = {"heartbeat_s": 0.05, "silence_s": 0.5}


class Heard:
    """A partner that only writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def connected(self, connection: RelayConnection, welcome: Welcome) -> None:
        self.said.append("connected")

    def disconnected(self) -> None:
        self.said.append("disconnected")

    def noticed(self, digest: str) -> None:
        self.said.append(digest)


class Counted(Backoff):
    """Hardly waits, and counts how often it was asked."""

    quick = slow = 0

    def next_s(self) -> float:
        self.quick += 1
        return 0.01

    def slow_s(self) -> float:
        self.slow += 1
        return 0.01


@contextmanager
def dialling(
    url: str,
    folder: Path,
    *,
    backoff: Backoff | None = None,
    certificate: str | None = None,
    credential: str = CREDENTIAL,
    **relay: Any,
) -> Iterator[tuple[Dialler, LinkStateFile, Heard]]:
    state, heard = LinkStateFile(folder), Heard()
    dialler = Dialler(
        VpsCredential(url, "d1", credential, certificate),
        RelaySettings(**{**QUICK, "silence_s": 10, **relay}),
        hello=lambda: Hello(name="study"),
        status=lambda: Status(queue=2, ready=True),
        serve=answering([b"from the desktop"]),
        partner=heard,
        state=state,
        backoff=backoff or Counted(),
    )
    dialler.start()
    try:
        yield dialler, state, heard
    finally:
        dialler.stop()
        assert not dialler._thread.is_alive()


def test_serves_what_the_vps_passes_on(tmp_path: Path) -> None:
    made = self_signed(tmp_path)
    with (
        PlayedVps(certificate=made) as vps,
        dialling(vps.url, tmp_path, certificate=made.pem) as (_, state, heard),
    ):
        connection = vps.connection()
        assert b"".join(connection.open(get()).chunks()) == b"from the desktop"
        assert connection.ping(20) and connection.peer == Status(queue=2, ready=True)
        connection.notice("state-1")
        assert connection.ping(20)
        assert heard.said == ["connected", "state-1"]
        assert (state.state.phase, read(tmp_path)) == ("connected", state.state)


def test_dials_again_whenever_the_connection_is_lost(tmp_path: Path) -> None:
    with PlayedVps() as vps, dialling(vps.url, tmp_path) as (_, _, heard):
        for _ in range(5):
            vps.connection().close()
        last = vps.connection()
        assert last.open(get()).status == 200
        assert heard.said.count("connected") == 6 == heard.said.count("disconnected") + 1


def test_says_goodbye_when_it_is_stopped(tmp_path: Path) -> None:
    with PlayedVps() as vps:
        with dialling(vps.url, tmp_path) as (_, state, _):
            connection = vps.connection()
        ending = connection.wait(20)
        assert ending is not None and (ending.code, ending.by_peer) == (heads.STOPPING, True)
        assert state.state.phase == "off"


@pytest.mark.parametrize("when", ["connected", "dialling", "greeting"])
def test_stops_for_good_when_it_is_revoked(
    when: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with PlayedVps() as vps, caplog.at_level(logging.INFO):
        vps.revoked = when == "dialling"
        vps.refusal = (heads.REVOKED, "gone") if when == "greeting" else None
        with dialling(vps.url, tmp_path) as (dialler, state, _):
            if when == "connected":
                vps.connection().goodbye(heads.REVOKED, "This desktop was taken off the list.")
            dialler._thread.join(20)
            assert not dialler._thread.is_alive()
            assert state.state.phase == "stopped" and "enroll" in state.state.why
            assert vps.dials == (0 if when == "dialling" else 1)
    assert "revoked" in caplog.text and CREDENTIAL not in caplog.text


@pytest.mark.parametrize("code", [heads.DUPLICATE, heads.REFUSED, heads.VERSION])
def test_comes_back_slowly_after_a_refusal_that_will_hardly_change(code: str, tmp_path: Path) -> None:
    counted = Counted()
    with PlayedVps() as vps:
        vps.refusal = (code, "because")
        with dialling(vps.url, tmp_path, backoff=counted):
            wait_until(lambda: counted.slow >= 3)
            assert counted.quick == 0
            vps.refusal = None
            assert vps.connection().ping(20)


def test_a_credential_that_is_not_known_is_tried_again_slowly(tmp_path: Path) -> None:
    """It may be the VPS that lost its list, and gets it back from a backup."""
    counted = Counted()
    with (
        PlayedVps() as vps,
        dialling(vps.url, tmp_path, backoff=counted, credential="another") as (_, state, _),
    ):
        wait_until(lambda: counted.slow >= 2 and "does not know this desktop" in state.state.notice)
        assert counted.quick == 0


def test_a_proxy_without_a_vps_behind_it_is_tried_again_soon(tmp_path: Path) -> None:
    counted = Counted()
    with (
        PlayedVps() as vps,
        dialling(f"{vps.url}/elsewhere", tmp_path, backoff=counted) as (_, state, _),
    ):
        wait_until(lambda: counted.quick >= 2 and "404" in state.state.why)


def test_waits_for_a_vps_that_is_not_there_and_finds_it(tmp_path: Path) -> None:
    counted = Counted()
    with PlayedVps() as vps:
        url = vps.url
        port = int(url.rpartition(":")[2])
    # The port is free now.
    with dialling(url, tmp_path, backoff=counted) as (_, state, _):
        wait_until(lambda: counted.quick >= 3 and state.state.phase == "waiting")
        assert "nothing listens" in state.state.why
        with socket.create_server(("127.0.0.1", port)) as silent:
            silent.accept()[0].close()
        wait_until(lambda: "closed" in state.state.why or "nothing listens" in state.state.why)


def test_stops_at_once_while_it_waits(tmp_path: Path) -> None:
    class Patient(Backoff):
        def next_s(self) -> float:
            return 3600.0

    with dialling("http://127.0.0.1:1", tmp_path, backoff=Patient()) as (dialler, state, _):
        wait_until(lambda: state.state.phase == "waiting")
        dialler.stop(timeout_s=20)
        assert not dialler._thread.is_alive()


def test_a_failure_of_its_own_does_not_end_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counted = Counted()
    with (
        PlayedVps() as vps,
        dialling(vps.url, tmp_path, backoff=counted, certificate=None) as (dialler, _, _),
    ):
        vps.connection()
        dialler._hello = lambda: 1 / 0  # type: ignore[assignment,return-value]
        for connection in vps._open:
            connection.close()
        wait_until(lambda: counted.slow >= 2)
        dialler._hello = Hello
        assert vps.connection().ping(20)
    assert "failed unexpectedly" in caplog.text


SUSPENDED = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from support.played_vps import PlayedVps
    with PlayedVps(heartbeat_s=0.05) as vps:
        print(vps.url)
        vps.connection()
        print("connected")
        sys.stdin.readline()
"""


def test_a_vps_that_is_suspended_is_lost_after_the_silence_and_found_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGSTOP: its sockets stay open and nothing answers."""
    import os
    import signal

    tests = Path(__file__).parents[3] / "tests"
    with Child(SUSPENDED, tests) as child, caplog.at_level(logging.INFO):
        url = child.line()
        with dialling(url, tmp_path, silence_s=0.5) as (_, _state, heard):
            assert child.line() == "connected"
            os.kill(child._process.pid, signal.SIGSTOP)
            wait_until(lambda: "disconnected" in heard.said)
            wait_until(lambda: f"({heads.SILENT}:" in caplog.text)
            os.kill(child._process.pid, signal.SIGCONT)
            wait_until(lambda: heard.said.count("connected") > 1)
        child.tell("end")


def test_the_owner_is_told_when_the_credential_is_used_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with PlayedVps() as vps, dialling(vps.url, tmp_path) as (dialler, state, _):
        connection = vps.connection()
        wait_until(lambda: state.state.phase == "connected")
        dialler._heard(Status(elsewhere="203.0.113.9"))
        dialler._heard(Status(elsewhere="203.0.113.9"))
        assert "used from 203.0.113.9 too" in state.state.notice and "vps leave" in state.state.notice
        assert read(tmp_path) == state.state
        assert connection.ping(20)
    assert caplog.text.count("203.0.113.9") == 1


def test_another_certificate_than_the_compared_one_is_told_with_the_command_that_mends_it(
    tmp_path: Path,
) -> None:
    made, before = self_signed(tmp_path), self_signed(tmp_path, "before")
    counted = Counted()
    with (
        PlayedVps(certificate=made) as vps,
        dialling(vps.url, tmp_path, certificate=before.pem, backoff=counted) as (_, state, _),
    ):
        wait_until(lambda: counted.slow >= 2)
        assert "vps trust" in state.state.notice
        assert state.state.notice == state.state.why
        assert counted.quick == 0


def test_a_notice_goes_when_the_connection_is_there(tmp_path: Path) -> None:
    with PlayedVps() as vps:
        vps.refusal = (heads.DUPLICATE, "connected already")
        with dialling(vps.url, tmp_path) as (_, state, _):
            wait_until(lambda: "Another server with this enrolment" in state.state.notice)
            vps.refusal = None
            vps.connection()
            wait_until(lambda: state.state.notice == "" and state.state.phase == "connected")

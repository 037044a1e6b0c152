"""The server as a service of systemd: what it tells it, and what it keeps from its journal."""

import socket
import time

import pytest
import requests
from orchestrator_vps.serve import BOOT_S, _is_fresh
from support.vps import Vps


class Systemd:
    """The socket that systemd listens on."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(30)
        self.lines = []

    def wait_for(self, line):
        while line not in self.lines:
            self.lines += self.socket.recv(4096).decode().split("\n")
        self.lines.clear()


@pytest.fixture
def systemd(tmp_path):
    found = Systemd(tmp_path)
    yield found
    found.socket.close()


def test_systemd_is_told_when_it_serves_lives_and_stops(tmp_path, systemd):
    watched = {"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "3000000"}
    vps = Vps(tmp_path / "data", **watched)
    try:
        systemd.wait_for("READY=1")
        vps.started()
        assert requests.get(f"{vps.url}/health", timeout=5).ok
        systemd.wait_for("WATCHDOG=1")
        systemd.wait_for("WATCHDOG=1")
        # Whoever it starts is not to speak in its name.
        environment = vps.worker.environ()
        assert environment.get("NOTIFY_SOCKET") == systemd.path  # as it was at the start of the process
        vps.process.terminate()
        systemd.wait_for("STOPPING=1")
        assert vps.process.wait(30) == 0
    finally:
        vps.kill()


def test_a_worker_that_hangs_gives_no_sign_of_life(tmp_path, systemd):
    with Vps(tmp_path / "data", NOTIFY_SOCKET=systemd.path, WATCHDOG_USEC="3000000") as vps:
        assert vps.get("/info").ok  # it has begun to beat
        systemd.wait_for("WATCHDOG=1")
        worker = vps.worker
        worker.suspend()
        try:
            systemd.socket.settimeout(4)
            with pytest.raises(TimeoutError):
                while True:
                    systemd.wait_for("WATCHDOG=1")
        finally:
            worker.resume()


def test_a_worker_that_never_gets_to_serve_gives_no_sign_of_life_for_ever():
    now, monotonic = time.time(), time.monotonic()
    assert _is_fresh(monotonic - 1, within_s=3) and not _is_fresh(monotonic - 4, within_s=3)
    assert _is_fresh(now - 1, within_s=3) and not _is_fresh(now - BOOT_S - 1, within_s=3)


def test_a_journal_never_gets_a_code(tmp_path):
    in_journal = 'export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/1); exec "$0" "$@"'
    with Vps(tmp_path, through=["sh", "-c", in_journal]) as vps:
        assert vps.end() == 0
        assert "code" not in vps.process.stdout.read()


def test_a_terminal_that_a_service_opened_is_no_journal(tmp_path):
    with Vps(tmp_path, JOURNAL_STREAM="8:12345") as vps:
        assert vps.line("Enrolment code")
        assert vps.end() == 0

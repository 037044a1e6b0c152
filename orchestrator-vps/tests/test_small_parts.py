"""Settings of this tier, its key, what it knows of clients behind a proxy, and who has left."""

import os
import socket
import threading

import pytest
from orchestrator_core.errors import ConfigurationError
from orchestrator_core.settings import Settings
from orchestrator_vps import api_key
from orchestrator_vps.configuration import PORT, THREADS, load_vps_settings
from orchestrator_vps.disconnects import Leavers
from orchestrator_vps.notify import Notifier
from orchestrator_vps.proxied import GONE, UPGRADE, Front, has_left
from pydantic import SecretStr


def test_defaults_fit_a_vps_where_nobody_chose(tmp_path):
    environ = {"HOME": str(tmp_path)}
    settings = load_vps_settings(file=empty(tmp_path), environ=environ)
    assert (settings.server.port, settings.server.threads) == (PORT, THREADS)
    assert settings.data.name == "orchestrator-vps"


def empty(folder):
    file = folder / "empty.yaml"
    file.write_text("")
    return file


@pytest.mark.parametrize("source", ["environ", "file", "flags"])
def test_what_somebody_chose_stays(tmp_path, source):
    file = empty(tmp_path)
    environ, overrides = {}, {}
    if source == "environ":
        environ = {
            "ORCHESTRATOR_PORT": "5000",
            "ORCHESTRATOR_SERVER__THREADS": "48",
            "ORCHESTRATOR_DATA": "/x",
        }
    elif source == "file":
        file.write_text("data: /x\nserver: {port: 5000, threads: 48}\n")
    else:
        overrides = {"server.port": 5000, "server.threads": 48, "data": "/x"}
    settings = load_vps_settings(file=file, environ=environ, overrides=overrides)
    assert (settings.server.port, settings.server.threads, str(settings.data)) == (5000, 48, "/x")


def test_a_key_that_was_set_is_left_alone(tmp_path):
    settings = Settings(data=tmp_path)
    settings.server.api_key = SecretStr("mine")
    assert not api_key.provide_key(settings)
    assert settings.server.api_key.get_secret_value() == "mine"
    assert not api_key.key_file(tmp_path).exists()


def test_a_key_is_made_once_also_when_two_ask_at_once(tmp_path):
    made, keys = [], []

    def ask():
        settings = Settings(data=tmp_path / "data")
        made.append(api_key.provide_key(settings))
        keys.append(settings.server.api_key.get_secret_value())

    ask()
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert made.count(True) == 1 and len(set(keys)) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["api-key"]
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_a_key_that_cannot_be_kept_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        api_key.provide_key(Settings(data=tmp_path / "file"))


def seen_by(environ):
    seen = {}
    list(Front(lambda environ, start: [seen.update(environ), b""][1:])(environ, lambda *_: None))
    return seen


@pytest.mark.parametrize(
    ("peer", "header", "address"),
    [
        ("127.0.0.1", "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("::1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("198.51.100.1", "203.0.113.7", "198.51.100.1"),
    ],
)
def test_only_a_proxy_of_this_machine_is_believed(peer, header, address):
    environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http"}
    if header is not None:
        environ["HTTP_X_FORWARDED_FOR"] = header
    assert seen_by(environ)["REMOTE_ADDR"] == address


def test_an_upgrade_is_kept_from_the_router():
    seen = seen_by({"REMOTE_ADDR": "127.0.0.1", "HTTP_UPGRADE": "websocket"})
    assert "HTTP_UPGRADE" not in seen and seen[UPGRADE] == "websocket"


def test_a_client_that_left_is_noticed_and_one_that_sent_more_is_not_taken_for_it():
    near, far = socket.socketpair()
    with near, far:
        check = seen_by({"REMOTE_ADDR": "127.0.0.1", "gunicorn.socket": near})[GONE]
        assert not check()
        far.send(b"more")
        assert not check()
        assert near.recv(10) == b"more"
        far.close()
        assert check()
    assert has_left(near)


def test_leavers_are_told_once_and_the_watching_ends():
    leavers, left, gone = Leavers(tick_s=0.01), threading.Event(), threading.Event()
    calls = []
    leavers.begin(gone.is_set, lambda: (calls.append(1), left.set()))
    with leavers.during(lambda: False, lambda: calls.append("never")):
        gone.set()
        assert left.wait(10)
    assert calls == [1]
    watching = [one for one in threading.enumerate() if one.name == "leavers"]
    for thread in watching:
        thread.join(10)
        assert not thread.is_alive()
    again = threading.Event()
    leavers.begin(lambda: True, again.set)
    assert again.wait(10)


def test_a_leaver_that_cannot_be_left_does_not_end_the_watching():
    leavers, left = Leavers(tick_s=0.01), threading.Event()

    def broken():
        raise RuntimeError("no")

    leavers.begin(lambda: True, broken)
    leavers.begin(lambda: True, left.set)
    assert left.wait(10)


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "x"}, None),
        ({"WATCHDOG_USEC": "2000000"}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 2.0),
    ],
)
def test_the_watchdog_is_ours_only_when_it_says_so(environ, watchdog_s):
    assert Notifier(dict(environ)).watchdog_s == watchdog_s


def test_a_notice_that_nobody_hears_is_no_error(tmp_path):
    environ = {"NOTIFY_SOCKET": str(tmp_path / "nobody")}
    Notifier(environ).send("READY=1")
    assert environ == {}
    Notifier({}).send("READY=1")


def test_an_abstract_socket_is_understood():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"orchestrator-test-{os.getpid()}"
        listener.bind(f"\0{name}")
        listener.settimeout(10)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).send("READY=1", "STATUS=x")
        assert listener.recv(100) == b"READY=1\nSTATUS=x"

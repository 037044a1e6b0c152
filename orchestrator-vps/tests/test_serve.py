"""The server as a process: starting, what it says, stopping without losing anything."""

import json
import signal
import socket
import threading
from contextlib import ExitStack

import psutil
import pytest
import requests
from orchestrator_relay.server_stream import ServedResponse
from support.processes import ENGINE, children
from support.vps import KEY, PlayedDesktop, Vps
from support.waiting import wait_until

MAX_RESIDENT_MB = 150


def script(path, text, **fields):
    path.write_text(json.dumps({"otherwise": {"text": text}, **fields}))
    return str(path)


def ask(vps, message="Hi"):
    return vps.post("/chat/stream", {"message": message}, headers={"X-Tier": "vps"}, stream=True)


def read_event(lines):
    found = []
    while line := next(lines):
        found.append(line)
    return found


def test_it_answers_what_the_spec_names(tmp_path):
    with Vps(tmp_path) as vps:
        assert requests.get(f"{vps.url}/health", timeout=10).json() == {"status": "ok"}
        info = vps.get("/info").json()
        assert info["tier"] == "vps" and info["relay"]["desktop"]["reachable"] is False
        body = {"prompt": "[INST] What is continuity? [/INST]", "max_tokens": 512, "temperature": 0}
        answers = [vps.post("/generate", body) for _ in range(2)]
        assert [one.headers["X-Cache"] for one in answers] == ["MISS", "HIT"]
        assert answers[0].json()["response"] == answers[1].json()["response"] != ""
        chat = vps.post("/chat", {"message": "Hi"}).json()
        assert chat["tier"] == "vps" and chat["response"].endswith("Hi")
        assert vps.end() == 0


@pytest.mark.slow
def test_the_built_in_model_answers_by_itself(tmp_path):
    real = {"ORCHESTRATOR_BACKEND": "auto", "ORCHESTRATOR_MODEL": "builtin"}
    with Vps(tmp_path, **real) as vps:
        chat = vps.post("/chat", {"message": "What is the relay?", "max_tokens": 40}, timeout=120).json()
        assert chat["tier"] == "vps" and chat["model"].endswith(".gguf") and chat["response"]
        (engine,) = [child for child, command in children(vps.worker) if ENGINE in command]
        assert vps.worker.memory_info().rss / 1e6 < MAX_RESIDENT_MB
        assert vps.end() == 0
        assert not engine.is_running()


def test_the_first_start_gives_a_code_and_later_ones_only_until_a_desktop_is_there(tmp_path):
    with Vps(tmp_path) as vps:
        line = vps.line("Enrolment code")
        code = line.split()[-1]
        answer = vps.enroll(code=code)
        assert answer.status_code == 201
        vps.end()
    with Vps(tmp_path) as vps:
        assert vps.end() == 0
        assert "code" not in vps.process.stdout.read()


def test_a_key_is_made_once_and_kept_to_its_owner(tmp_path):
    keys = []
    for _ in range(2):
        with Vps(tmp_path, ORCHESTRATOR_API_KEY="") as vps:
            key = (tmp_path / "api-key").read_text().strip()
            keys.append(key)
            assert vps.get("/info", headers={"Authorization": f"Bearer {key}"}).status_code == 200
            assert vps.get("/info").status_code == 401
            assert vps.get("/info", headers={"Authorization": None}).status_code == 401
            vps.end()
            # Not in a journal, not in the log.
            assert key not in "".join(vps.said) + vps.process.stdout.read() + vps.errors
            assert key not in (tmp_path / "orchestrator.log").read_text()
    assert keys[0] == keys[1] and len(keys[0]) >= 43
    assert (tmp_path / "api-key").stat().st_mode & 0o777 == 0o600


def test_an_empty_key_file_is_told(tmp_path):
    (tmp_path / "api-key").write_text("")
    vps = Vps(tmp_path, ORCHESTRATOR_API_KEY="")
    try:
        assert vps.process.wait(30) != 0
        assert "is empty" in vps.errors and "Traceback" not in vps.errors
    finally:
        vps.kill()


def test_settings_come_from_a_file_and_secrets_from_the_environment(tmp_path):
    file = tmp_path / "vps.yaml"
    file.write_text(f"data: {tmp_path / 'from-file'}\nserver:\n  threads: 20\nrelay:\n  heartbeat_s: 0.5\n")
    vps = Vps(tmp_path / "unused", "--config", str(file))
    with vps:
        assert vps.get("/info").status_code == 200
        assert vps.end() == 0
    # --data wins over the file.
    assert (tmp_path / "unused" / "memory.db").exists() and not (tmp_path / "from-file").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("server: {threads: many}", "threads"),
        ("relay: {heartbeats: 1}", "heartbeats"),
        ("- x", "keys and values"),
    ],
)
def test_settings_that_cannot_work_are_told(tmp_path, content, said):
    file = tmp_path / "vps.yaml"
    file.write_text(content)
    vps = Vps(tmp_path / "data", "--config", str(file))
    try:
        assert vps.process.wait(30) != 0
        assert said in vps.errors and "Traceback" not in vps.errors, vps.errors
    finally:
        vps.kill()


def test_a_port_in_use_is_told_before_anything_is_touched(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        vps = Vps(tmp_path / "data", "--port", str(taken.getsockname()[1]))
        try:
            assert vps.process.wait(30) != 0
            assert "in use" in vps.errors and "Traceback" not in vps.errors
        finally:
            vps.kill()
    assert not (tmp_path / "data").exists()


def test_a_second_server_on_the_same_data_is_refused_and_the_first_goes_on(tmp_path):
    with Vps(tmp_path) as first:
        second = Vps(tmp_path)
        try:
            assert second.process.wait(30) != 0
            assert "in use" in second.errors and "Traceback" not in second.errors
        finally:
            second.kill()
        assert first.get("/info").status_code == 200


def test_a_database_of_the_future_is_told_without_a_traceback(tmp_path):
    import sqlite3

    connection = sqlite3.connect(tmp_path / "memory.db")
    connection.execute("PRAGMA user_version = 999")
    connection.execute("CREATE TABLE x (y)")
    connection.commit()
    connection.close()
    vps = Vps(tmp_path)
    try:
        assert vps.process.wait(30) != 0
        assert "schema version 999" in vps.errors and "Traceback" not in vps.errors, vps.errors
    finally:
        vps.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_answer_under_way_may_end_when_it_is_stopped(tmp_path, number):
    model = script(tmp_path / "s.json", "one two three four five six", token_delay_s=0.1)
    with Vps(tmp_path / "data", model=model) as vps:
        answer = ask(vps)
        lines = answer.iter_lines(decode_unicode=True)
        read_event(lines), read_event(lines)
        vps.process.send_signal(number)
        rest = "\n".join(lines)
        assert '"done":true' in rest and "one two three four five six" in rest
        assert vps.process.wait(30) == 0


@pytest.mark.slow
def test_an_interrupted_answer_goes_on_after_the_restart(tmp_path):
    text = " ".join(f"w{number}" for number in range(100))
    slow = script(tmp_path / "slow.json", text, token_delay_s=0.5)
    with Vps(tmp_path / "data", model=slow) as vps:
        answer = ask(vps)
        run_id = answer.headers["X-Run-Id"]
        lines = answer.iter_lines(decode_unicode=True)
        read_event(lines), read_event(lines), read_event(lines)
        vps.process.send_signal(signal.SIGINT)
        wait_until(lambda: not listens(vps.port))
        vps.process.send_signal(signal.SIGINT)
        assert vps.process.wait(10) == 0
        answer.close()
    with Vps(tmp_path / "data", model=script(tmp_path / "fast.json", text)) as vps:
        whole = vps.get(f"/runs/{run_id}/stream").text
        assert '"done":true' in whole and "event: seam" in whole
        assert vps.get(f"/runs/{run_id}").json()["text"] == text
        history = vps.get("/conversation").json()["history"]
        assert [message["content"] for message in history] == ["Hi", text]


def test_an_answer_of_the_desktop_may_end_too(tmp_path):
    go = threading.Event()

    def serve(head, body):
        def parts():
            yield b"data: one\n\n"
            assert go.wait(20)
            yield b"data: two\n\n"

        return ServedResponse(200, (("Content-Type", "text/event-stream"),), parts())

    with Vps(tmp_path) as vps, PlayedDesktop(vps, serve) as desktop:
        desktop.there()
        parts = vps.get("/events", stream=True).iter_content(None)
        assert next(parts) == b"data: one\n\n"
        vps.process.terminate()
        wait_until(lambda: not listens(vps.port))
        go.set()
        assert b"".join(parts) == b"data: two\n\n"
        assert desktop.ending().code == "stopping"
        assert vps.process.wait(30) == 0


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_worker_that_dies_is_replaced_and_nothing_is_lost(tmp_path):
    with Vps(tmp_path) as vps:
        vps.post("/chat", {"message": "remember me"})
        former = vps.worker
        former.kill()
        former.wait(10)
        wait_until(lambda: listens(vps.port) and vps.get("/info", timeout=10).ok)
        assert vps.worker.pid != former.pid
        assert vps.get("/conversation").json()["history"][0]["content"] == "remember me"
        assert vps.end() == 0


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"POST /chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: nonsense\r\n\r\n", 501),
        (b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400),
        (b"GET /info HTTP/1.1\r\n\r\n", 400),
        (b"GET /info HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
    ],
)
def test_what_the_socket_side_refuses_is_json_too(shared, raw, status):
    with socket.create_connection(("127.0.0.1", shared.port), timeout=20) as sock:
        sock.sendall(raw)
        answer = b""
        while not answer.rstrip().endswith(b"}") and (piece := sock.recv(65536)):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert json.loads(body)["error"]["message"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with Vps(tmp_path_factory.mktemp("shared")) as vps:
        yield vps


def test_guessing_is_counted_for_each_client_of_the_proxy_and_locks_out_no_right_key(shared):
    def info(address, key):
        headers = {"X-Forwarded-For": f"1.2.3.4, {address}", "Authorization": f"Bearer {key}"}
        return shared.get("/info", headers=headers).status_code

    assert [info("203.0.113.5", "wrong") for _ in range(11)][-1] == 429
    assert info("203.0.113.5", KEY) == 200
    assert info("203.0.113.6", "wrong") == 401


@pytest.mark.slow
def test_a_hundred_clients_stream_at_once_and_the_rest_stays_usable(tmp_path):
    """With the default number of threads; the web process stays within its bound."""
    model = script(tmp_path / "s.json", " ".join(f"w{n}" for n in range(40)), token_delay_s=0.1)
    many = {"ORCHESTRATOR_ENGINE__MAX_QUEUE": "200", "ORCHESTRATOR_ENGINE__MAX_SEQUENCES": "64"}
    with Vps(tmp_path / "data", model=model, **many) as vps, ExitStack() as opened:
        answers = [opened.enter_context(ask(vps, f"Hi {number}")) for number in range(100)]
        assert {answer.status_code for answer in answers} == {200}
        assert requests.get(f"{vps.url}/health", timeout=5).ok
        assert vps.get("/info", timeout=5).json()["state"] == "ready"
        texts = [None] * len(answers)

        def read(number):
            texts[number] = answers[number].text

        readers = [threading.Thread(target=read, args=(number,)) for number in range(len(answers))]
        for reader in readers:
            reader.start()
        resident_mb = vps.worker.memory_info().rss / 1e6
        for reader in readers:
            reader.join(60)
        assert all('"done":true' in text for text in texts)
        resident_mb = max(resident_mb, vps.worker.memory_info().rss / 1e6)
        print(f"{resident_mb:.0f} MB, {vps.worker.num_threads()} threads")
        assert resident_mb <= MAX_RESIDENT_MB


def test_nothing_heavy_is_in_the_process(tmp_path):
    code = (
        "import sys, orchestrator_vps.app, orchestrator_vps.serve, orchestrator_vps.worker;"
        "print(sorted({'torch', 'transformers', 'llama_cpp', 'waitress', 'ai_orchestrator'} & set(sys.modules)))"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_master_is_small(shared):
    assert psutil.Process(shared.process.pid).memory_info().rss / 1e6 < 90

"""The server over real sockets: streaming, clients that leave, addresses, stopping."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests
from ai_orchestrator import server_file
from ai_orchestrator.server import Server
from orchestrator_core.errors import ConfigurationError, PortInUse
from shared_context.errors import StoreLocked
from support import scripted
from support.desktop import listening, settings_for
from support.scripted import Gate, Reply, ScriptedBackend
from support.waiting import wait_until

LAUNCHER = Path(__file__).resolve().parents[1] / "orchestrator_api.py"
MAX_RESIDENT_MB = 150


def connect(url):
    host, port = url.removeprefix("http://").split(":")
    return http.client.HTTPConnection(host, int(port), timeout=20)


def post_stream(url, body):
    connection = connect(url)
    connection.request("POST", "/chat/stream", json.dumps(body), {"Content-Type": "application/json"})
    return connection, connection.getresponse()


def read_event(response):
    lines = []
    while (line := response.readline().decode().rstrip("\n")) != "":
        lines.append(line)
    return lines


def test_the_first_token_is_sent_before_the_last_is_made(tmp_path):
    gate = Gate()
    with listening(tmp_path, ScriptedBackend([Reply(text="one two three", gate=gate)])) as server:
        connection, response = post_stream(server.url, {"message": "Hi"})
        assert read_event(response) == [f": run {response.headers['X-Run-Id']}"]
        gate.allow(1)
        assert read_event(response) == ["id: 1", 'data: {"token":"one"}']
        assert gate.wait_blocked()
        gate.open()
        assert read_event(response) == ["id: 2", 'data: {"token":" two"}']
        assert '"done":true' in response.read().decode()
        connection.close()


def test_a_client_that_drops_neither_ends_the_run_nor_keeps_its_thread(tmp_path):
    gate = Gate()
    with listening(tmp_path, ScriptedBackend([Reply(text="one two three", gate=gate)])) as server:
        connection, response = post_stream(server.url, {"message": "Hi"})
        gate.allow(1)
        read_event(response), read_event(response)
        run_id = response.headers["X-Run-Id"]
        slots = server.services.slots
        assert slots.taken == 1
        response.close()
        connection.close()
        wait_until(lambda: slots.taken == 0)
        assert server.services.assistant.runs.get(run_id).state == "running"
        gate.open()
        again = requests.get(f"{server.url}/runs/{run_id}/stream?from=1", timeout=20).text
        assert 'id: 2\ndata: {"token":" two"}' in again and "id: 1\n" not in again and '"done":true' in again
        stored = requests.get(f"{server.url}/conversation", timeout=20).json()["history"]
        assert [message["content"] for message in stored] == ["Hi", "one two three"]


def test_a_client_that_drops_while_it_waits_for_the_whole_answer_does_not_either(tmp_path):
    gate = Gate()
    with listening(tmp_path, ScriptedBackend([Reply(text="one two", gate=gate)])) as server:
        slots = server.services.slots
        connection = connect(server.url)
        connection.request("POST", "/chat", '{"message": "Hi"}', {"Content-Type": "application/json"})
        assert gate.wait_blocked()
        assert slots.taken == 1
        connection.close()
        wait_until(lambda: slots.taken == 0)
        (run,) = server.services.assistant.runs.active()
        gate.open()
        assert run.wait(timeout=20).text == "one two"


def test_many_streams_at_once(tmp_path):
    with listening(tmp_path, ScriptedBackend(otherwise=Reply(text="one two three"))) as server:
        texts = []

        def stream():
            texts.append(requests.post(f"{server.url}/chat/stream", json={"message": "Hi"}, timeout=20).text)

        threads = [threading.Thread(target=stream) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(texts) == 10 and all('"done":true' in text for text in texts)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 65_536 + b"\r\n\r\n", 431),
    ],
)
def test_what_the_socket_side_refuses_is_json_too(tmp_path, raw, status):
    with (
        listening(tmp_path) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock,
    ):
        sock.sendall(raw)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert json.loads(body)["error"]["message"]


def test_a_port_in_use_is_told_with_what_to_do(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            Server(settings_for(tmp_path, port=port)).start()
    assert str(port) in caught.value.message and "--port" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_an_open_address_without_a_key_is_refused_before_anything_is_touched(tmp_path):
    with pytest.raises(ConfigurationError):
        Server(settings_for(tmp_path, host="0.0.0.0")).start()
    assert list(tmp_path.iterdir()) == []


def test_a_second_server_on_the_same_data_is_refused_and_the_first_goes_on(tmp_path):
    with Server(settings_for(tmp_path)) as first:
        with pytest.raises(StoreLocked) as caught:
            Server(settings_for(tmp_path)).start()
        assert str(tmp_path) in caught.value.message and caught.value.hint
        assert requests.get(f"{first.url}/health", timeout=20).status_code == 200


def test_the_data_folder_says_where_the_server_is_as_long_as_it_is(tmp_path):
    with Server(settings_for(tmp_path)) as server:
        assert server_file.read(tmp_path).url == server.url
    assert server_file.read(tmp_path) is None


@pytest.mark.parametrize(
    "content", [None, b"not a model", b"GGUF" + b"\xff" * 100], ids=["missing", "junk", "corrupt"]
)
def test_a_model_that_is_missing_or_corrupt_does_not_keep_the_server_from_starting(tmp_path, content):
    model = tmp_path / "model.gguf"
    if content is not None:
        model.write_bytes(content)
    settings = settings_for(tmp_path / "data")
    settings.model.backend = "auto"
    settings.model.path = str(model)
    with Server(settings) as server:
        assert requests.get(f"{server.url}/health", timeout=20).status_code == 200
        wait_until(lambda: server.services.model.state == "failed")
        ready = requests.get(f"{server.url}/ready", timeout=20)
        assert ready.status_code == 503
        assert ready.json()["error"]["code"] in ("model_not_found", "model_unusable")
        answer = requests.post(f"{server.url}/chat", json={"message": "Hi"}, timeout=60)
        assert answer.status_code == 503 and answer.json()["error"]["message"]
        assert requests.get(f"{server.url}/conversation", timeout=20).json()["history"] == []


class Process:
    """`python orchestrator_api.py`, as users start it."""

    def __init__(self, data, *arguments, script="echo", **environment):
        command = [sys.executable, str(LAUNCHER), "--port", "0", "--data", str(data), *arguments]
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ORCHESTRATOR_", "LLM_"))
        }
        self.child = subprocess.Popen(
            command,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **clean,
                **scripted.ENVIRONMENT,
                "ORCHESTRATOR_MODEL": str(script),
                "PYTHONUNBUFFERED": "1",
                **environment,
            },
        )

    def url(self):
        line = self.child.stdout.readline()
        assert "listens on http://" in line, line + self.child.stderr.read()
        return re.search(r"http://\S+", line)[0]

    def wait_for(self, words):
        """Until it says this."""
        while words not in (line := self.child.stdout.readline()):
            assert line, self.child.stderr.read()

    def end(self, number=signal.SIGTERM):
        self.child.send_signal(number)
        out, err = self.child.communicate(timeout=60)
        return self.child.returncode, out, err


@contextmanager
def process(data, *arguments, **options):
    running = Process(data, *arguments, **options)
    try:
        yield running
    finally:
        if running.child.poll() is None:
            running.child.kill()
        running.child.communicate()


def script(path, **fields):
    path.write_text(json.dumps(fields))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_launcher_serves_from_any_folder_and_ends_with_0(tmp_path, number):
    with process(tmp_path) as running:
        url = running.url()
        assert (
            requests.post(f"{url}/chat", json={"message": "Hi"}, timeout=20).json()["response"].endswith("Hi")
        )
        running.wait_for("Ready: echo (scripted on cpu)")
        code, _, _ = running.end(number)
    assert code == 0
    log = (tmp_path / "orchestrator.log").read_text()
    assert "POST /chat 200" in log


@pytest.mark.slow
def test_an_answer_under_way_may_end_when_the_server_is_stopped(tmp_path):
    slow = script(tmp_path / "s.yaml", token_delay_s=0.1, otherwise={"text": "one two three four five six"})
    with process(tmp_path / "data", script=slow) as running:
        url = running.url()
        connection, response = post_stream(url, {"message": "Hi"})
        read_event(response), read_event(response)
        running.child.send_signal(signal.SIGTERM)
        rest = response.read().decode()
        connection.close()
        assert '"done":true' in rest and "one two three four five six" in rest
        assert running.child.wait(60) == 0


@pytest.mark.slow
def test_an_answer_that_was_interrupted_goes_on_after_the_restart(tmp_path):
    text = " ".join(f"w{number}" for number in range(60))
    slow = script(tmp_path / "slow.yaml", token_delay_s=0.2, otherwise={"text": text})
    fast = script(tmp_path / "fast.yaml", otherwise={"text": text})
    with process(tmp_path / "data", script=slow) as running:
        connection, response = post_stream(running.url(), {"message": "Hi"})
        run_id = response.headers["X-Run-Id"]
        read_event(response), read_event(response)
        running.child.send_signal(signal.SIGTERM)
        running.wait_for("Stopping: 1 answer")
        running.child.send_signal(signal.SIGTERM)
        shown = response.read().decode()
        connection.close()
        assert '"done":true' not in shown
        assert running.child.wait(60) == 0
    with process(tmp_path / "data", script=fast) as running:
        url = running.url()
        whole = requests.get(f"{url}/runs/{run_id}/stream", timeout=60).text
        assert '"done":true' in whole and "event: seam" in whole
        assert requests.get(f"{url}/runs/{run_id}", timeout=20).json()["text"] == text
        history = requests.get(f"{url}/conversation", timeout=20).json()["history"]
        assert [message["content"] for message in history] == ["Hi", text]
        running.end()


@pytest.mark.slow
def test_exit_codes_and_messages_of_what_cannot_start(tmp_path):
    with process(tmp_path / "a", "--host", "0.0.0.0") as refused:
        _, err = refused.child.communicate(timeout=60)
        assert refused.child.returncode == 3 and "ORCHESTRATOR_API_KEY" in err
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        process(tmp_path / "a", "--port", str(taken.getsockname()[1])) as refused,
    ):
        _, err = refused.child.communicate(timeout=60)
        assert refused.child.returncode == 3 and "in use" in err and "Traceback" not in err
    with process(tmp_path / "b") as first:
        first.url()
        with process(tmp_path / "b") as second:
            _, err = second.child.communicate(timeout=60)
            assert second.child.returncode == 1 and "in use by" in err and "Traceback" not in err


@pytest.mark.slow
def test_the_web_process_stays_small(tmp_path):
    with process(tmp_path) as running:
        url = running.url()
        for number in range(30):
            requests.post(f"{url}/chat", json={"message": f"Hi {number}"}, timeout=20)
        requests.get(f"{url}/metrics", timeout=20)
        resident_mb = psutil.Process(running.child.pid).memory_info().rss / 1e6
        running.end()
    assert resident_mb <= MAX_RESIDENT_MB

"""The `vps` extra in an environment of its own: what it installs, what it does not, and that it serves."""

import json
import os
import re
import shutil
import subprocess
import venv

import pytest
import requests
from support import scripted
from support.source_copy import ROOT, copy_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NEVER = {"torch", "transformers", "peft", "bitsandbytes", "accelerate", "matplotlib"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The `bin` folder of the environment. Installed from a copy: building leaves files behind."""
    folder = tmp_path_factory.mktemp("clean")
    copy_source(folder / "source")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    command += ["-c", ROOT / "constraints.txt", f"{folder / 'source'}[vps]"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    shutil.rmtree(folder / "source")
    return python.parent


def clean_environment(home):
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


def test_nothing_heavy_is_installed(installed):
    listed = subprocess.run(
        [installed / "python", "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {one["name"].lower() for one in json.loads(listed.stdout)}
    assert {"gunicorn", "simple-websocket", "flask", "orchestrator"} <= names
    assert not names & NEVER


def test_it_serves_and_enrols(installed, tmp_path):
    environment = {
        **clean_environment(tmp_path),
        **scripted.ENVIRONMENT,
        "ORCHESTRATOR_MODEL": "echo",
        "ORCHESTRATOR_API_KEY": "k",
    }
    server = subprocess.Popen(
        [installed / "orchestrator", "vps", "serve", "--port", "0", "--data", tmp_path / "data"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = server.stdout.readline()
        url = re.search(r"http://\S+", line)[0]
        assert requests.get(f"{url}/health", timeout=30).json() == {"status": "ok"}
        answer = requests.post(
            f"{url}/chat", json={"message": "Hi"}, headers={"Authorization": "Bearer k"}, timeout=60
        )
        assert answer.json()["tier"] == "vps" and answer.json()["response"].endswith("Hi")
        code = subprocess.run(
            [installed / "orchestrator", "vps", "code", "--data", tmp_path / "data"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        enrolled = requests.post(f"{url}/enroll", json={"code": code, "name": "home"}, timeout=30)
        assert enrolled.status_code == 201
        server.terminate()
        assert server.wait(60) == 0
    finally:
        if server.poll() is None:
            server.kill()
        server.communicate()


def test_without_an_engine_it_says_so_and_still_relays(installed, tmp_path):
    """The extra `gguf` brings the engine; without it the server is a relay and a memory."""
    environment = {**clean_environment(tmp_path), "ORCHESTRATOR_API_KEY": "k"}
    server = subprocess.Popen(
        [installed / "orchestrator", "vps", "serve", "--port", "0", "--data", tmp_path / "data"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = re.search(r"http://\S+", server.stdout.readline())[0]
        key = {"Authorization": "Bearer k"}
        answer = requests.post(f"{url}/chat", json={"message": "Hi"}, headers=key, timeout=60)
        assert answer.status_code == 503 and "gguf" in json.dumps(answer.json())
        assert requests.get(f"{url}/conversations", headers=key, timeout=30).status_code == 200
        server.terminate()
        assert server.wait(60) == 0
    finally:
        if server.poll() is None:
            server.kill()
        server.communicate()

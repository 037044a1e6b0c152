"""The vendors' own JavaScript clients against a running server; `make setup-dev` installs them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.client_server import answering

FOLDER = Path(__file__).parent / "javascript"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What `run.mjs` said of each thing it tried."""
    if shutil.which("node") is None or not (FOLDER / "node_modules").is_dir():
        pytest.skip("node or the npm packages are not installed: make setup-dev")
    with answering(tmp_path_factory.mktemp("data")) as server:
        finished = subprocess.run(
            ["node", "run.mjs"],
            cwd=FOLDER,
            env={**os.environ, "ORCHESTRATOR_URL": server.url},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]


@pytest.mark.parametrize("client", ["openai", "anthropic", "ollama", "ai (Vercel)"])
def test_everything_that_was_tried_works(told, client):
    tried = [one for one in told if one["client"] == client]
    assert len(tried) > 3
    assert [one for one in tried if not one["ok"]] == []

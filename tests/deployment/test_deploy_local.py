"""`deployment/deploy_local.sh`, run for real in a copy of this repository, by a fresh user."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.command_line import run
from support.ports import free_port
from support.small_family import save_exportable
from support.source_copy import ROOT, copy_source

SCRIPT = ROOT / "deployment/deploy_local.sh"
FOLDER = "it's 100% odd"
"""A shell, systemd and batch files each read something of this in their own way."""


def new_user(home: Path) -> dict[str, str]:
    """Nothing of this user's but the caches of packages and of compiled engines."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "XDG_CACHE_HOME": cache}


@dataclass
class Deployed:
    root: Path
    env: dict[str, str]
    port: int
    data: Path
    said: str

    @property
    def unit(self) -> Path:
        return Path(self.env["HOME"], ".config/systemd/user/orchestrator-desktop.service")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    base = tmp_path_factory.mktemp("desktop")
    root = copy_source(base / FOLDER)
    env = new_user(base / "home")
    port, data = free_port(), base / "my data"
    recipe = base / "small.yaml"
    model = save_exportable(base / "small model")
    recipe.write_text(json.dumps({"model": str(model), "max_steps": 2, "max_seq_length": 64, "threads": 1}))
    script = root / "deployment/deploy_local.sh"
    done = run(
        [script, "--data", data, "--port", str(port), "--yes", "--fine-tune", "--recipe", "small.yaml"],
        env,
        cwd=base,
        timeout_s=1500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Deployed(root, env, port, data, done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_six_steps_say_what_they_did(deployed: Deployed):
    steps = re.findall(r"^==> (\d)/6 ", deployed.said, re.MULTILINE)
    assert steps == list("123456")
    answer = re.search(r"Answer of \S+: (.+)", deployed.said)
    assert answer and len(answer[1]) > 20
    assert (deployed.root / "training-data/continuity_dataset.json").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_model_of_the_recipe_is_fine_tuned(deployed: Deployed):
    tuned = deployed.root / "fine-tuning/models/mistral-7b-continuity"
    assert f"The fine-tuned adapter is in {tuned}" in deployed.said
    assert (tuned / "adapter_config.json").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_start_script_serves_from_any_folder(deployed: Deployed, tmp_path: Path):
    with (
        (tmp_path / "errors").open("w") as errors,
        subprocess.Popen(
            [deployed.root / "start_orchestrator.sh"],
            env=deployed.env,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as server,
    ):
        assert server.stdout is not None
        try:
            said = server.stdout.readline()
            assert f"http://127.0.0.1:{deployed.port}" in said, (tmp_path / "errors").read_text()
            with urllib.request.urlopen(f"http://127.0.0.1:{deployed.port}/health", timeout=60) as answer:
                assert answer.status == 200
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=60)
    assert server.returncode == 0
    assert (deployed.data / "memory.db").is_file()
    assert not Path(deployed.env["HOME"], ".local/share/orchestrator").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_second_run_keeps_what_is_done(deployed: Deployed):
    dataset = deployed.root / "training-data/continuity_dataset.json"
    before = dataset.stat().st_mtime_ns, deployed.unit.read_text()
    script = deployed.root / "deployment/deploy_local.sh"
    again = run(
        [script, "--port", str(deployed.port), "--no-fine-tune", "--yes"], deployed.env, timeout_s=600
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert (dataset.stat().st_mtime_ns, deployed.unit.read_text()) == before
    assert "Not done" not in again.stdout
    assert "--data" not in (deployed.root / "start_orchestrator.sh").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_unit_is_one_systemd_accepts(deployed: Deployed, tmp_path: Path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd here")
    line = next(line for line in deployed.unit.read_text().splitlines() if line.startswith("ExecStart="))
    root = str(deployed.root).replace("%", "%%")
    assert line == f'ExecStart=/usr/bin/env bash "{root}/start_orchestrator.sh"'
    env = {**deployed.env, "XDG_RUNTIME_DIR": str(tmp_path)}
    checked = run(["systemd-analyze", "verify", "--user", "--man=no", deployed.unit], env)
    about_ours = [said for said in checked.stderr.splitlines() if "orchestrator" in said]
    assert (checked.returncode, about_ours) == (0, []), checked.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_scripts_written_are_clean(deployed: Deployed):
    checked = run(["shellcheck", deployed.root / "start_orchestrator.sh"], deployed.env)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_batch_file_calls_the_same_command(deployed: Deployed):
    script = deployed.root / "deployment/deploy_local.sh"
    assert run([script, "--data", deployed.data / "50%"], deployed.env, timeout_s=600).returncode == 0
    content = (deployed.root / "start_orchestrator.bat").read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n") > 5
    assert b"@OPTIONS@" not in content
    (call,) = [line for line in content.decode().split("\r\n") if " serve " in line]
    assert call == (
        rf'"%~dp0.venv\Scripts\orchestrator.exe" serve --port 5000 --data "{deployed.data}/50%%" %*'
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "70000"], "a number from 1 to 65535"),
        (["--port", "5000x"], "a number from 1 to 65535"),
        (["--port"], "--port needs a value"),
        (["--data", 'a"b'], "must not hold quotes"),
        (["--gpu"], "unknown option: --gpu"),
        (["--recipe", "nowhere.yaml"], "there is no file nowhere.yaml"),
    ],
)
def test_wrong_options_change_nothing(options: list[str], said: str, tmp_path: Path):
    done = run([SCRIPT, *options], new_user(tmp_path))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ['a"b', "a$b", "a\\b", "a`b"])
def test_a_folder_that_programs_cannot_run_from_is_refused(name: str, tmp_path: Path):
    script = tmp_path / name / "deployment" / "deploy_local.sh"
    script.parent.mkdir(parents=True)
    shutil.copy2(SCRIPT, script)
    done = run([script, "--yes"], new_user(tmp_path))
    assert done.returncode == 1
    assert "Rename it" in done.stderr
    assert done.stdout == ""


def test_help_names_every_option(tmp_path: Path):
    done = run([SCRIPT, "--help"], new_user(tmp_path))
    assert done.returncode == 0
    for option in re.findall(r"^      (?:-\w \| )?(--[a-z-]+)", SCRIPT.read_text(), re.MULTILINE):
        assert option in done.stdout

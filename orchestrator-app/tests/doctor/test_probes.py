from __future__ import annotations

import json
import os
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from ai_orchestrator.doctor import probes
from gguf_models import scripted_model
from orchestrator_core.settings import Settings, load_settings
from shared_context.conversations.store import ConversationStore
from support.command_line import fresh_user, orchestrator, serving
from support.terminal_session import TerminalSession
from support.tiny_bert import TinyBert


def settings(tmp_path: Path, **overrides: Any) -> Settings:
    return load_settings(
        file=None,
        environ={"ORCHESTRATOR_DATA": str(tmp_path / "data")},
        overrides={name.replace("__", "."): value for name, value in overrides.items()},
    )


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    scripted_model(path, "Hello there.", context=512)
    return path


def test_the_engine_proves_itself_in_a_child_process(
    tmp_path: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "builtin_folders", lambda: [tmp_path])
    model = probes.see_model(settings(tmp_path, model__path=str(gguf)))
    assert (model.opens, model.context_length, model.problem) == (True, 512, None)
    assert model.size == gguf.stat().st_size
    engine = probes.see_engine(model)
    assert (engine.proved_with, engine.problem) == ("tiny.gguf", None)
    assert engine.tokens_per_s is not None
    assert engine.tokens_per_s > 0
    assert engine.gpu_offload in (True, False)


def test_a_corrupt_model_is_a_problem_and_not_a_crash(tmp_path: Path, gguf: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf.read_bytes()[:5000])
    model = probes.see_model(settings(tmp_path, model__path=str(broken)))
    assert model.opens is False
    assert model.problem is not None
    assert "cannot load the model file" in model.problem and "remaining file size" in model.problem


def test_a_child_that_crashes_or_says_nothing_is_told(
    tmp_path: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text, said in (
        ("kill -SEGV $$", "crashed with SIGSEGV"),
        ("echo bad luck >&2; exit 3", "bad luck"),
        ("true", "no result"),
    ):
        child = tmp_path / "python"
        child.write_text(f"#!/bin/sh\n{text}\n")
        child.chmod(0o755)
        monkeypatch.setattr(probes.sys, "executable", str(child))
        assert said in str(probes._in_child("decode", gguf))


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    model = probes.see_model(settings(tmp_path, model__path="none.gguf"))
    assert "none.gguf" in (model.problem or "")
    unreachable = probes.see_model(settings(tmp_path, model__url="http://127.0.0.1:9/v1", model__path="m"))
    assert (unreachable.backend, unreachable.problem is not None) == ("openai", True)


def test_embeddings_prove_themselves_or_say_why_not(tmp_path: Path, gguf: Path) -> None:
    bert = TinyBert(tmp_path / "bert.gguf", pooling="cls").path
    seen = probes.see_embeddings(settings(tmp_path, context__embeddings=str(bert)))
    assert (seen.width, seen.pooling, seen.assumed, seen.problem) == (64, "cls", False, None)
    assert probes.see_embeddings(settings(tmp_path, context__embeddings=str(gguf))).assumed
    missing = probes.see_embeddings(settings(tmp_path, context__embeddings=str(tmp_path / "none.gguf")))
    assert "none.gguf" in (missing.problem or "")
    assert probes.see_embeddings(settings(tmp_path)).width == 256
    words_only = settings(tmp_path)
    words_only.context.embeddings = None
    assert probes.see_embeddings(words_only).chosen is None
    chat = probes.see_model(settings(tmp_path, model__path=str(bert)))
    assert "writes no text" in (chat.problem or "")


def test_a_port_is_free_taken_or_ours(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        here = settings(tmp_path, server__port=port)
        assert probes.see_port(here, None).state == "taken"
        assert probes.see_port(here, f"http://127.0.0.1:{port}").state == "ours"
    assert probes.see_port(here, None).state == "free"
    assert probes.see_port(settings(tmp_path, server__host="192.0.2.1"), None).state == "unusable"


def test_an_open_address_without_a_key_is_refused(tmp_path: Path) -> None:
    assert probes.see_exposure(settings(tmp_path)).refusal is None
    assert probes.see_exposure(settings(tmp_path, server__host="0.0.0.0")).refusal is not None
    guarded = probes.see_exposure(settings(tmp_path, server__host="0.0.0.0", server__api_key="k" * 32))
    assert (guarded.refusal, guarded.key_length, guarded.loopback) == (None, 32, False)


def test_the_data_folder_is_looked_at_and_left_alone(tmp_path: Path) -> None:
    seen = probes.see_data(settings(tmp_path))
    assert (seen.mode, seen.problem) == (None, None)
    assert seen.free is not None
    assert not seen.path.exists()
    seen.path.mkdir(mode=0o750)
    assert probes.see_data(settings(tmp_path)).mode == 0o750
    assert list(seen.path.iterdir()) == []


def test_a_file_in_the_way_of_the_data_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("I am a file")
    assert "is not a folder" in (probes.see_data(settings(tmp_path)).problem or "")


def test_databases_are_told_apart(tmp_path: Path) -> None:
    def state() -> str:
        return probes.see_stores(tmp_path)[0].state

    path = tmp_path / "memory.db"
    assert state() == "absent"
    ConversationStore.open(path).close()
    assert state() == "current"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    assert state() == "future"
    path.write_bytes(b"no database at all, but long enough to look at" * 50)
    assert state() == "damaged"


def test_a_misspelt_variable_is_found() -> None:
    environ = {"ORCHESTRATOR_PROT": "1", "ORCHESTRATOR_PORT": "2", "ORCHESTRATOR_X__Y": "3", "PATH": ""}
    assert probes.unknown_variables(environ) == ("ORCHESTRATOR_PROT",)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("server:\n  api_key: abc\n", True),
        ("server:\n  api_key: null\n", False),
        ("# api_key: abc\n", False),
        ("server: {port: 1}\n", False),
    ],
)
def test_a_key_in_the_configuration_file_is_noticed(tmp_path: Path, text: str, holds: bool) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    seen = probes.see_configuration(file, {}, None)
    assert (seen.holds_key, seen.file) == (holds, file)


# --- the command -------------------------------------------------------------------------------


def test_the_command_reports_json_and_the_exit_code(tmp_path: Path) -> None:
    env = {**fresh_user(tmp_path), "ORCHESTRATOR_PORT": "0"}
    done = orchestrator(env, "doctor", "--json")
    report = json.loads(done.stdout)
    assert report["ok"] is (done.returncode == 0)
    assert {"python", "engine", "model", "memory", "disk", "port", "data folder", "exposure", "gpu"} <= {
        one["check"] for one in report["checks"]
    }
    bad = orchestrator({**env, "ORCHESTRATOR_HOST": "0.0.0.0"}, "doctor", "--json")
    assert bad.returncode == 1
    failing = [one for one in json.loads(bad.stdout)["checks"] if one["verdict"] == "fail"]
    assert "exposure" in {one["check"] for one in failing}
    assert all(one["advice"] for one in failing)


def test_settings_that_cannot_be_loaded_are_one_finding_of_many(tmp_path: Path) -> None:
    done = orchestrator({**fresh_user(tmp_path), "ORCHESTRATOR_PORT": "http"}, "doctor")
    assert done.returncode == 1
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert ["fail", "configuration"] in [line[:2] for line in lines]
    assert "ORCHESTRATOR_PORT" in done.stdout
    assert len(lines) > 8
    assert done.stderr == ""


def test_a_terminal_gets_marks(tmp_path: Path) -> None:
    command = [probes.sys.executable, "-m", "ai_orchestrator.cli", "doctor"]
    env = {**fresh_user(tmp_path), "ORCHESTRATOR_HOST": "0.0.0.0", "ORCHESTRATOR_PORT": "0"}
    with TerminalSession(command, env) as terminal:
        terminal.expect("✓ python")
        terminal.expect("✗ exposure")
        terminal.expect("→ ")
        assert terminal.wait() == 1


@pytest.mark.slow
def test_a_running_server_is_recognised(tmp_path: Path) -> None:
    env = fresh_user(tmp_path)
    with serving(env) as url:
        port = url.rsplit(":", 1)[1]
        report = json.loads(orchestrator({**env, "ORCHESTRATOR_PORT": port}, "doctor", "--json").stdout)
        said = {one["check"]: one for one in report["checks"]}
        assert "answers at" in said["port"]["message"]
        assert f"held by the server at {url}" in said["data folder"]["message"]
        assert said["database memory.db"]["verdict"] == "ok"


def test_a_taken_port_is_named_with_the_program_that_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        seen = probes.see_port(settings(tmp_path, server__port=taken.getsockname()[1]), None)
    assert seen.state == "taken"
    assert f"(process {os.getpid()})" in seen.detail

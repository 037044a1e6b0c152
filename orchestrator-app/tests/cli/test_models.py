"""`orchestrator models`: the registry from the command line, without a server."""

import json
from pathlib import Path

import pytest
from ai_orchestrator.model_adding import files_of, name_of
from orchestrator_core.backends.model_files import builtin_folders, find_builtin
from support.command_line import fresh_user, orchestrator
from support.lora_gguf import write_adapter

BUILTIN = find_builtin(builtin_folders())


@pytest.fixture
def env(tmp_path):
    env = fresh_user(tmp_path, "builtin")
    del env["ORCHESTRATOR_BACKEND"]
    return env


def told(env, *arguments):
    done = orchestrator(env, "models", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_model_is_added_activated_answered_with_and_rolled_back(env, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    write_adapter(BUILTIN, run / "adapter.gguf")
    (run / "metrics.json").write_text('{"f1": 0.8}')
    (run / "training_metadata.yaml").write_text("epochs: 3\nwhen: 2026-01-01\n")
    manifest = json.loads(told(env, "add", str(run), "--name", "mine", "--base", "builtin", "--json"))
    assert (manifest["metrics"], manifest["recipe"]["epochs"]) == ({"f1": 0.8}, 3)
    assert list(manifest["files"]) == ["adapter.gguf"]
    assert "This machine answers with mine:1 now" in told(env, "activate", "mine")
    first = json.loads(told(env, "--json"))[0]
    assert (first["name"], first["active"], first["source"]) == ("mine:1", True, "registry")
    answer = json.loads(
        orchestrator(env, "ask", "What is the relay?", "--json", "-o", "max_tokens", "4").stdout
    )
    assert answer["receipt"]["model"] == "mine:1"
    assert answer["receipt"]["base"] == "builtin"
    told(env, "rollback")
    assert json.loads(told(env, "list", "--json"))[0]["name"] == "builtin"
    assert told(env, "verify") == "mine:1\tfine\n"
    told(env, "remove", "mine:1")
    assert told(env, "verify") == ""


def test_what_cannot_be_done_says_why(env, tmp_path):
    (tmp_path / "junk.gguf").write_bytes(b"GGUF junk")
    told(env, "add", str(tmp_path / "junk.gguf"))
    refused = orchestrator(env, "models", "activate", "junk")
    assert refused.returncode == 3 and "llama.cpp cannot load" in refused.stderr
    assert "There is no model 'absent'" in orchestrator(env, "models", "activate", "absent").stderr
    assert "no former model" in orchestrator(env, "models", "rollback").stderr
    assert "not enrolled" in orchestrator(env, "models", "push", "junk", "--no-activate").stderr
    (tmp_path / "data/models/junk/1/junk.gguf").write_bytes(b"GGUF junK")
    damaged = orchestrator(env, "models", "verify", "junk")
    assert damaged.returncode == 1 and "is not what its hash says" in damaged.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no model" in orchestrator(env, "models", "add", str(empty)).stderr


def test_a_split_model_is_taken_whole_whichever_part_is_named(tmp_path):
    names = [f"Big.Model-0000{number}-of-00002.gguf" for number in (1, 2)]
    for name in [*names, "other-00001-of-00002.gguf"]:
        (tmp_path / name).touch()
    for name in names:
        assert sorted(files_of(tmp_path / name)) == names
        assert name_of(tmp_path / name) == "big.model"


@pytest.mark.parametrize(("file", "name"), [("Mistral 7B (v2).gguf", "mistral-7b-v2"), ("Ärger", "rger")])
def test_a_name_is_made_of_the_files(file, name):
    assert name_of(Path(file) if "." not in file else Path(file[:-5])) == name

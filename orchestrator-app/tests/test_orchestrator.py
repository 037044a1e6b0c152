from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ai_orchestrator import MistralOrchestrator
from orchestrator_core.errors import (
    ConfigurationError,
    ContextLengthExceeded,
    InvalidRequest,
    ModelNotFound,
    ModelUnusable,
)
from orchestrator_core.settings import ENVIRONMENT, Config
from shared_context.errors import DocumentNotFound, DocumentRejected, InvalidImport
from support import scripted
from support.scripted import Gate, Reply, ScriptedBackend

APP = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def clean_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*ENVIRONMENT, "ORCHESTRATOR_CONFIG"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend(otherwise="Handoff documents carry it.")


@pytest.fixture
def orch(backend: ScriptedBackend) -> Iterator[MistralOrchestrator]:
    with MistralOrchestrator(backend=backend) as opened:
        yield opened


def test_an_answer_and_its_question_make_a_conversation(orch: MistralOrchestrator) -> None:
    assert orch.generate_response("How do I maintain continuity?") == "Handoff documents carry it."
    assert orch.conversation_history == [
        {"role": "user", "content": "How do I maintain continuity?"},
        {"role": "assistant", "content": "Handoff documents carry it."},
    ]


def test_the_context_reaches_the_model_for_one_answer_only(
    orch: MistralOrchestrator, backend: ScriptedBackend
) -> None:
    orch.generate_response("One?", system_context="The briefing says: blue.")
    orch.generate_response("Two?")
    first, second = (call.prompt.text for call in backend.calls)
    assert "The briefing says: blue." in first
    assert "The briefing says: blue." not in second
    assert "One?" in second


def test_generation_options_reach_the_model(backend: ScriptedBackend) -> None:
    with MistralOrchestrator(backend=backend, temperature=0.1, seed=7) as orch:
        orch.generate_response("x", max_new_tokens=3, temperature=0.2)
    config = backend.calls[-1].config
    assert (config.max_new_tokens, config.temperature, config.seed) == (3, 0.2, 7)


def test_a_streamed_answer_is_the_same_in_pieces(orch: MistralOrchestrator) -> None:
    pieces = list(orch.stream_response("x"))
    assert len(pieces) > 1
    assert "".join(pieces) == "Handoff documents carry it."
    assert "".join(orch.generate_response("y", stream=True)) == "Handoff documents carry it."
    assert orch.conversation_history[-1]["content"] == "Handoff documents carry it."


def test_a_stream_keeps_its_model(backend: ScriptedBackend) -> None:
    stream = MistralOrchestrator(backend=backend).stream_response("x")
    gc.collect()
    assert "".join(stream) == "Handoff documents carry it."


def test_leaving_a_stream_stops_the_answer_and_keeps_what_was_said() -> None:
    gate = Gate()
    gate.allow(2)
    backend = ScriptedBackend([Reply(text="one two three four five", gate=gate)])
    with MistralOrchestrator(backend=backend) as orch:
        stream = orch.stream_response("count")
        assert next(stream) == "one"
        assert next(stream) == " two"
        stream.close()
        history = orch.conversation_history
        assert history[0]["content"] == "count"
        assert all(message["content"] in ("count", "one two") for message in history)


def test_a_failure_of_the_model_is_raised(backend: ScriptedBackend) -> None:
    backend.enqueue(Reply(refuse="context_length_exceeded"), Reply(refuse="context_length_exceeded"))
    with MistralOrchestrator(backend=backend) as orch:
        with pytest.raises(ContextLengthExceeded, match="The script refuses"):
            orch.generate_response("x")
        with pytest.raises(ContextLengthExceeded, match="The script refuses"):
            list(orch.stream_response("x"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": 9.0}, "temperature"),
        ({"temprature": 0.1}, "There is no generation option 'temprature'"),
        ({"max_new_tokens": 0}, "max_tokens"),
    ],
)
def test_a_wrong_option_is_named(orch: MistralOrchestrator, options: dict[str, float], expected: str) -> None:
    with pytest.raises(InvalidRequest, match=expected):
        orch.generate_response("x", **options)
    assert orch.conversation_history == []


def test_an_empty_prompt_and_one_beyond_the_window_are_refused(orch: MistralOrchestrator) -> None:
    with pytest.raises(InvalidRequest):
        orch.generate_response("  ")
    with pytest.raises(ContextLengthExceeded):
        orch.generate_response("word " * 20_000)


def test_a_conversation_is_saved_loaded_and_cleared(orch: MistralOrchestrator, tmp_path: Path) -> None:
    orch.generate_response("Remember blue.")
    saved = orch.save_conversation(tmp_path / "conversation.json")
    content = json.loads(saved.read_text("utf-8"))
    assert [message["role"] for message in content["history"]] == ["user", "assistant"]
    before = orch.conversation_history
    orch.clear()
    assert orch.conversation_history == []
    assert orch.load_conversation(saved) == 2
    assert orch.conversation_history == before
    with MistralOrchestrator(backend=ScriptedBackend(otherwise="ok")) as other:
        other.load_conversation(str(saved))
        assert other.conversation_history == before


def test_a_file_that_is_no_conversation_leaves_the_present_one(
    orch: MistralOrchestrator, tmp_path: Path
) -> None:
    orch.generate_response("x")
    (tmp_path / "bad.json").write_text("{")
    for name in ("bad.json", "missing.json"):
        with pytest.raises(InvalidImport):
            orch.load_conversation(tmp_path / name)
    assert len(orch.conversation_history) == 2


# --- the handoff documents ---------------------------------------------------------------------

LOG = "# Session log\n\n" + "".join(
    f"## 2026-01-{day:02} 10:00 UTC\n\nOn day {day} we moved the lamp to place number {day}.\n\n"
    for day in range(1, 29)
)


def config_with(tmp_path: Path, name: str, text: str) -> Config:
    config = Config()
    config.context.folder = tmp_path / "context"
    config.context.folder.mkdir()
    (config.context.folder / name).write_text(text, "utf-8")
    return config


def test_a_document_that_fits_is_given_whole(tmp_path: Path, backend: ScriptedBackend) -> None:
    config = config_with(tmp_path, "SESSION_BRIEFING.md", "# Briefing\n\nThe lamp is blue.\n")
    with MistralOrchestrator(config=config, backend=backend) as orch:
        assert orch.load_session_context("SESSION_BRIEFING.md") == "# Briefing\n\nThe lamp is blue."


def test_a_document_that_is_cut_says_so_in_the_text_and_the_log(
    tmp_path: Path, backend: ScriptedBackend, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_with(tmp_path, "SESSION_LOG.md", LOG)
    with (
        caplog.at_level(logging.WARNING, "ai_orchestrator"),
        MistralOrchestrator(config=config, backend=backend) as orch,
    ):
        text = orch.load_session_context("SESSION_LOG.md", max_tokens=200)
        assert backend.count_tokens(text) <= 200
    first_line, _, rest = text.partition("\n")
    assert first_line.startswith("(SESSION_LOG.md is shortened to fit; left out:")
    assert "On day 28" in rest
    assert "On day 1 " not in rest
    assert "SESSION_LOG.md was cut to" in caplog.text


def test_the_default_room_is_a_quarter_of_the_window(tmp_path: Path) -> None:
    config = config_with(tmp_path, "SESSION_LOG.md", LOG * 20)
    backend = ScriptedBackend(otherwise="x", context_length=2000)
    with MistralOrchestrator(config=config, backend=backend) as orch:
        assert 100 < backend.count_tokens(orch.load_session_context("SESSION_LOG.md")) <= 500


def test_a_document_nobody_wrote_yet_is_its_starter(orch: MistralOrchestrator) -> None:
    assert orch.load_session_context("SESSION_BRIEFING.md").startswith("# Session briefing")
    assert not orch.settings.context_folder.exists()


def test_any_text_file_can_be_loaded_by_path(orch: MistralOrchestrator, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# Notes\n\nBuy milk.\n")
    assert "Buy milk." in orch.load_session_context(tmp_path / "notes.md")


def test_a_document_that_cannot_be_used_is_refused(orch: MistralOrchestrator, tmp_path: Path) -> None:
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe")
    with pytest.raises(DocumentRejected, match=r"binary\.md is not UTF-8"):
        orch.load_session_context(tmp_path / "binary.md")
    with pytest.raises(DocumentNotFound, match="NO_SUCH"):
        orch.load_session_context("NO_SUCH.md")
    with pytest.raises(InvalidRequest, match="at least 1"):
        orch.load_session_context("SESSION_LOG.md", max_tokens=0)


# --- models ------------------------------------------------------------------------------------


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"models/none\.gguf"):
        MistralOrchestrator(model_path="models/none.gguf")
    with pytest.raises(ModelUnusable):
        MistralOrchestrator(model_path=tmp_path)


def test_a_folder_with_several_models_asks_which(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(ConfigurationError, match=r"a\.gguf, b\.gguf"):
        MistralOrchestrator(tmp_path)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with MistralOrchestrator(backend=ScriptedBackend(otherwise="x")) as orch:
        orch.generate_response("x")
        assert list(tmp_path.glob("orchestrator-*"))
    with pytest.raises(ModelNotFound):
        MistralOrchestrator("none.gguf")
    assert not list(tmp_path.glob("orchestrator-*"))


def test_a_program_that_never_closes_it_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "from ai_orchestrator import MistralOrchestrator\n"
        "orch = MistralOrchestrator('say:one')\n"
        "print(orch.generate_response('?'))\n"
        "orch = MistralOrchestrator('say:two')\n"
        "import gc, os; gc.collect()\n"
        "print(orch.generate_response('?'), len(os.listdir(os.environ['TMPDIR'])))"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = {**os.environ, "TMPDIR": str(scratch), **scripted.ENVIRONMENT}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert out.stdout == "one\ntwo 1\n"
    assert list(scratch.iterdir()) == []


def test_a_failing_load_is_noticed_at_once_and_cleans_up(tmp_path: Path) -> None:
    backend = ScriptedBackend(load_errors=[ModelUnusable("The file is corrupt.")])
    with pytest.raises(ModelUnusable, match="corrupt"):
        MistralOrchestrator(backend=backend)
    assert not list(tmp_path.glob("orchestrator-*"))


def test_the_callers_config_is_not_changed(backend: ScriptedBackend) -> None:
    config = Config()
    with MistralOrchestrator("say:hello", config=config, backend=backend, load_in_4bit=True):
        assert config == Config()


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, ai_orchestrator\n"
        "print([n for n in ('pydantic', 'click', 'flask', 'torch', 'llama_cpp') if n in sys.modules])\n"
        "from ai_orchestrator import MistralOrchestrator\n"
        "print([n for n in ('flask', 'torch', 'llama_cpp', 'transformers') if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["[]", "[]"]


def test_config_can_be_imported_where_the_examples_say() -> None:
    code = (
        "from config import Config\n"
        "from ai_orchestrator import MistralOrchestrator\n"
        f"cfg = Config(); cfg.model.backend = {scripted.BACKEND!r}; cfg.model.path = 'say:It works.'\n"
        "print(MistralOrchestrator(config=cfg).generate_response('?'))"
    )
    env = {**os.environ, **scripted.ENVIRONMENT}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=APP, env=env
    ).stdout
    assert out == "It works.\n"

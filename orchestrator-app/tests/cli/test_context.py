"""`orchestrator context`, alone and through a running server: the same words, the same results."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from support.command_line import fresh_user, orchestrator, serving
from support.terminal_session import TerminalSession

NAMES = ["PORTFOLIO_CONTEXT.md", "PROJECT_CONTEXT.md", "SESSION_BRIEFING.md", "SESSION_LOG.md"]


@pytest.fixture(params=["alone", pytest.param("served", marks=pytest.mark.slow)])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    variables = fresh_user(tmp_path)
    with serving(variables) if request.param == "served" else nullcontext():
        yield variables


def told(env: dict[str, str], *arguments: str, stdin: str | None = None) -> str:
    done = orchestrator(env, "context", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_document_is_listed_shown_edited_and_restored(env: dict[str, str]) -> None:
    listed = json.loads(told(env, "list", "--json"))["documents"]
    assert [one["name"] for one in listed] == NAMES
    assert [line.split("\t")[0] for line in told(env, "list").splitlines()] == NAMES

    first = json.loads(told(env, "show", "briefing", "--json"))
    assert told(env, "show", "SESSION_BRIEFING.md") == first["text"]
    told(env, "edit", "briefing", stdin="# Briefing\n\nThe lamp is blue.\n")
    assert told(env, "show", "briefing") == "# Briefing\n\nThe lamp is blue.\n"

    versions = json.loads(told(env, "history", "briefing", "--json"))["versions"]
    assert versions[0]["version"] != first["version"]
    assert first["version"] in [one["version"] for one in versions]
    assert told(env, "show", "briefing", "--at", first["version"]) == first["text"]
    difference = told(env, "diff", "briefing", first["version"])
    assert "+The lamp is blue." in difference.splitlines()
    told(env, "restore", "briefing", first["version"])
    assert told(env, "show", "briefing") == first["text"]


def test_entries_are_added_to_the_log(env: dict[str, str]) -> None:
    entry = json.loads(told(env, "append", "We", "moved", "the", "lamp.", "--json"))
    assert entry["name"] == "SESSION_LOG.md"
    told(env, "append", stdin="And the table.\n")
    log = told(env, "show", "log")
    assert log.index("We moved the lamp.") < log.index("And the table.")


def test_the_preview_is_the_prompt(env: dict[str, str]) -> None:
    told(env, "edit", "project", stdin="# Project\n\nThe lamp is blue.\n")
    found = json.loads(told(env, "preview", "Which colour?", "--json"))
    assert "The lamp is blue." in found["prompt"]
    assert "Which colour?" in found["prompt"]
    assert found["prompt_tokens"] > 0
    assert "The lamp is blue." in told(env, "preview")


def test_no_conflicts_are_an_empty_list(env: dict[str, str]) -> None:
    assert json.loads(told(env, "conflicts", "--json")) == {"conflicts": []}


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "said"),
    [
        (("show", "diary"), None, 2, "portfolio (PORTFOLIO_CONTEXT.md)"),
        (("edit", "briefing"), "", 2, "stays as it is"),
        (("edit", "briefing"), None, 2, "pipe the new text in"),
        (("append",), None, 2, "There is no text"),
        (("restore", "briefing", "0123456789ab"), None, 1, "0123456789ab"),
        (("conflicts", "--resolve", "nothing"), "x", 1, "nothing"),
    ],
)
def test_what_cannot_work_is_told(
    env: dict[str, str], arguments: tuple[str, ...], stdin: str | None, code: int, said: str
) -> None:
    done = orchestrator(env, "context", *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_editor_changes_a_document(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf 'The lamp is green.\\n' >> \"$1\"\n")
    editor.chmod(0o755)
    env = {**fresh_user(tmp_path), "EDITOR": str(editor)}
    with TerminalSession(
        [sys.executable, "-m", "ai_orchestrator.cli", "context", "edit", "log"], env
    ) as terminal:
        terminal.expect("SESSION_LOG.md is now version")
        assert terminal.wait() == 0
    assert told(env, "show", "log").endswith("The lamp is green.\n")

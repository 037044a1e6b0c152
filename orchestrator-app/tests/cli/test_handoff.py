"""`orchestrator handoff` and `/handoff`, alone and through a running server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from support.command_line import fresh_user, orchestrator, serving
from support.terminal_session import TerminalSession

SAID = "We decided on tea. TODO: write docs/tea.md"


@pytest.fixture(params=["alone", pytest.param("served", marks=pytest.mark.slow)])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    variables = fresh_user(tmp_path, "say:Fine.")
    with serving(variables) if request.param == "served" else nullcontext():
        yield variables


def told(env: dict[str, str], *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    done = orchestrator(env, *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done


def test_without_a_terminal_nothing_is_stored_unasked(env: dict[str, str]) -> None:
    told(env, "ask", SAID)
    shown = told(env, "handoff")
    assert "- We decided on tea." in shown.stdout
    assert "+- [ ] write docs/tea.md" in shown.stdout
    assert "Nothing was stored" in shown.stderr
    assert "tea" not in told(env, "context", "show", "log").stdout


def test_yes_stores_the_draft_once(env: dict[str, str]) -> None:
    told(env, "ask", SAID)
    done = json.loads(told(env, "handoff", "--yes", "--json").stdout)
    assert (done["merged"], done["repeated"]) == ([], False)
    assert told(env, "context", "show", "log").stdout.count("- We decided on tea.") == 1
    assert "- [ ] write docs/tea.md" in told(env, "context", "show", "briefing").stdout
    again = orchestrator(env, "handoff", "--yes")
    assert (again.returncode, again.stdout) == (1, "")
    assert "Nothing was said in this conversation since its last handoff." in again.stderr


def test_a_draft_can_be_changed_by_a_script(env: dict[str, str], tmp_path: Path) -> None:
    told(env, "ask", SAID)
    draft = json.loads(told(env, "handoff", "--json").stdout)
    draft["entry"] = "By a script."
    told(env, "handoff", "--confirm", "-", stdin=json.dumps(draft))
    assert "By a script." in told(env, "context", "show", "log").stdout
    repeated = told(env, "handoff", "--confirm", "-", stdin=json.dumps(draft))
    assert "handed off before" in repeated.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "said"),
    [
        (("--cid", "nowhere"), None, 1, "nowhere"),
        ((), None, 2, "Nothing was said yet"),
        (("--confirm", "missing.json"), None, 2, "cannot be read as a draft"),
        (("--confirm", "-"), "not json", 2, "cannot be read as a draft"),
        (("--confirm", "-"), '{"entry": "x"}', 2, "not a draft"),
        (("--confirm", "-"), "[]", 2, "not a draft"),
        (
            ("--confirm", "-"),
            '{"conversation_id": null, "entry_id": "x", "sources": [], "entry": "x", "documents": []}',
            2,
            "'sources'",
        ),
    ],
)
def test_what_cannot_work_is_told(
    env: dict[str, str], arguments: tuple[str, ...], stdin: str | None, code: int, said: str
) -> None:
    done = orchestrator(env, "handoff", *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_person_is_asked_edits_and_agrees(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/We decided on tea/We decided on green tea/' \"$1\"\n")
    editor.chmod(0o755)
    env = {**fresh_user(tmp_path, "say:Fine."), "EDITOR": str(editor)}
    told(env, "ask", SAID)
    with TerminalSession([sys.executable, "-m", "ai_orchestrator.cli", "handoff"], env) as terminal:
        terminal.expect("- We decided on tea.")
        terminal.expect("Store this?")
        terminal.enter("edit")
        terminal.expect("We decided on green tea.")
        terminal.expect(": We decided on green tea.")
        terminal.expect("Store this?")
        terminal.enter("yes")
        terminal.expect("Stored: entry")
        assert terminal.wait() == 0
    assert "We decided on green tea." in told(env, "context", "show", "log").stdout
    assert "We decided on green tea." in told(env, "context", "show", "project").stdout


def test_a_conversation_in_the_terminal_ends_with_a_handoff(tmp_path: Path) -> None:
    env = fresh_user(tmp_path, "say:Fine.")
    with TerminalSession([sys.executable, "-m", "ai_orchestrator.cli", "chat"], env) as terminal:
        terminal.expect("you>")
        terminal.enter("/handoff")
        terminal.expect("Nothing was said yet.")
        terminal.enter(SAID)
        terminal.expect("Fine.")
        terminal.enter("/handoff")
        terminal.expect("- write docs/tea.md")
        terminal.expect("Store this?")
        terminal.enter("no")
        terminal.expect("Nothing was stored.")
        terminal.enter("/handoff")
        terminal.expect("Store this?")
        terminal.enter()
        terminal.expect("Stored: entry")
        terminal.enter("/quit")
        assert terminal.wait() == 0
    assert "- We decided on tea." in told(env, "context", "show", "log").stdout


def test_a_session_without_memory_has_nothing_to_hand_off(tmp_path: Path) -> None:
    env = fresh_user(tmp_path, "say:Fine.")
    done = orchestrator(env, "chat", "--no-log", stdin=f"{SAID}\n/handoff\n")
    assert "keeps no memory" in done.stderr
    assert "Traceback" not in done.stderr

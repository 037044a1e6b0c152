from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest
from ai_orchestrator import repl_input
from ai_orchestrator.repl_input import COMMANDS, Command, PlainLines, Say, is_complete, understand, unwrap
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_known_in_any_case(name: str) -> None:
    assert understand(f"/{name}") == Command(name)
    assert understand(f"/{name.upper()} ") == Command(name)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("quit", Command("quit")),
        ("exit", Command("exit")),
        ("Q", Command("quit")),
        ("clear", Command("clear")),
        ("quit the job", Say("quit the job")),
        ("/frobnicate now", Command("frobnicate", known=False)),
        ("/etc/hosts is a file", Say("/etc/hosts is a file")),
        ("/", Say("/")),
        ("// comment", Say("// comment")),
        (" /quit", Say("/quit")),
        (" quit", Say("quit")),
        ("/quit\nreally", Say("/quit\nreally")),
        ("", None),
        (" \n\t", None),
        ('"""\n  two\n  lines\n"""', Say("  two\n  lines".strip())),
        ('"""quit"""', Say("quit")),
    ],
)
def test_what_an_entry_means(text: str, meaning: Command | Say | None) -> None:
    assert understand(text) == meaning


@given(st.text())
def test_any_entry_has_a_meaning(text: str) -> None:
    meaning = understand(text)
    assert meaning is None or isinstance(meaning, Command) or meaning.message.strip()


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("hello", True), ("hello \\", False), ("hello\\\nthere", True), ('"""', False),
        ('"""a', False), ('"""a\n"""', True), ('"""a"""', True), ('say """a', True), ("", True),
    ],
)  # fmt: skip
def test_where_an_entry_ends(text: str, complete: bool) -> None:
    assert is_complete(text) is complete


def test_pasted_text_keeps_its_backslashes() -> None:
    assert unwrap("cc \\\n  -o x\necho") == "cc \\\n  -o x\necho"


def entries(monkeypatch: pytest.MonkeyPatch, text: str) -> list[str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    lines, found = PlainLines(), []
    while True:
        try:
            found.append(lines.read())
        except EOFError:
            return found


def test_plain_input_is_a_message_per_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert entries(monkeypatch, "one\ntwo") == ["one", "two"]


def test_plain_input_joins_what_belongs_together(monkeypatch: pytest.MonkeyPatch) -> None:
    assert entries(monkeypatch, 'a\\\nb\n"""\nx\n\ny\n"""\nlast\\') == ["a\nb", '"""\nx\n\ny\n"""', "last\n"]


def test_the_history_file_is_private_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "new" / "repl_history"
    repl_input._private_file(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    monkeypatch.setattr(repl_input, "MAX_HISTORY_BYTES", 100)
    file.write_text("\n# 2026-01-01\n+old\n" * 10 + "\n# 2026-01-02\n+new\n")
    repl_input._private_file(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = file.read_text()
    assert len(kept) <= 50
    assert kept.startswith("# 2026-01-0")
    assert kept.endswith("+new\n")

from __future__ import annotations

import io
import json
import os

import click
import pytest
from ai_orchestrator.cli import terminal
from hypothesis import given
from hypothesis import strategies as st


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(st.text())
def test_safe_text_has_no_control_characters_but_newline_and_tab(text: str) -> None:
    shown = terminal.safe(text)
    assert all(ord(sign) >= 0x20 and not 0x7F <= ord(sign) < 0xA0 for sign in shown if sign not in "\n\t")
    assert [sign for sign in text if sign.isprintable()] == [sign for sign in shown if sign.isprintable()]


def test_escape_sequences_reach_a_pipe_but_no_terminal() -> None:
    text = "a\x1b]0;title\x07b\x9b31m é 🦜\n"
    pipe, screen = io.StringIO(), FakeTerminal()
    terminal.write(text, stream=pipe)
    terminal.write(text, stream=screen)
    assert pipe.getvalue() == text
    assert screen.getvalue() == "a]0;titleb31m é 🦜\n"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_needs_a_willing_terminal(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: bool
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert terminal.wants_colour(FakeTerminal()) is expected
    assert terminal.wants_colour(io.StringIO()) is False


def test_a_table_in_a_pipe_is_one_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.write_table(("a", "b"), [("1", "two\nlines\tand tabs"), ("x" * 500, None)])
    assert capsys.readouterr().out == "1\ttwo lines and tabs\n" + "x" * 500 + "\tNone\n"


def test_json_keeps_every_character(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.write_json({"text": "é🦜\x1b"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"text": "é🦜\x1b"}
    assert "é🦜" in out


def read_from(monkeypatch: pytest.MonkeyPatch, descriptor: int) -> str | None:
    with os.fdopen(descriptor, "r", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        return terminal.piped_input()


def test_a_pipe_is_read_and_a_device_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, "Grüße\n".encode())
    os.close(writer)
    assert read_from(monkeypatch, reader) == "Grüße\n"
    assert read_from(monkeypatch, os.open(os.devnull, os.O_RDONLY)) is None


def test_input_that_is_not_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"ab\xff")
    os.close(writer)
    with pytest.raises(click.UsageError, match="0xff at 2"):
        read_from(monkeypatch, reader)

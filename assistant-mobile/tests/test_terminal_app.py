"""`orchestrator phone chat` in a real terminal: the road is always shown, and a lost desktop loses nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.desktop import listening
from support.paired_phone import paired
from support.terminal_session import TerminalSession

HERE = Path(sys.executable).parent


def say(terminal: TerminalSession, text: str) -> None:
    """As somebody who waits for the prompt."""
    terminal.expect(">")
    terminal.enter(text)


@pytest.mark.slow
def test_a_conversation_outlives_its_desktop(tmp_path: Path) -> None:
    phone = tmp_path / "phone"
    with listening(tmp_path / "desktop") as desktop:
        paired(desktop.services, phone, urls=(desktop.url,))
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PROMPT_TOOLKIT_NO_CPR": "0"}
        command = [str(HERE / "orchestrator"), "phone", "chat", "--data", str(phone)]
        with TerminalSession(command, environment) as terminal:
            terminal.expect("etwork · 0 waiting")  # of the toolbar, where only what changes is drawn
            terminal.enter("one two three")
            terminal.expect("[desktop ·")
            assert "one two three" in terminal.screen
            desktop.stop()
            say(terminal, "four five six")
            terminal.expect("[waits in the outbox", timeout=30)
            say(terminal, "/outbox")
            terminal.expect("'four five six'")
            say(terminal, "/nonsense")
            terminal.expect("Ctrl-D)")
            say(terminal, "/quit")
            assert terminal.wait() == 0

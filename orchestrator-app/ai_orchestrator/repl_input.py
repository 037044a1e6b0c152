"""What is typed into the REPL: where a message ends, and what a line means.

`understand`, `is_complete`, `unwrap` and `next_line` are pure; `TerminalLines` and `PlainLines` read.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ai_orchestrator.cli import terminal

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings

COMMANDS = ("help", "quit", "exit", "clear", "save", "history", "handoff", "stream")
PLAIN_WORDS = {"quit": "quit", "exit": "exit", "q": "quit", "clear": "clear"}
FENCE = '"""'
PROMPT = "you> "
CONTINUATION = "...  "
MAX_HISTORY_BYTES = 1_000_000
_COMMAND = re.compile(r"/(\w+)(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    known: bool = True


@dataclass(frozen=True, slots=True)
class Say:
    message: str


def understand(text: str) -> Command | Say | None:
    """What an entry means; None for an empty one.

    A slash and a word is a command, known or not; a path like /etc/hosts is text, and so is
    everything behind a leading space. Entries of several lines are always text.
    """
    message = unwrap(text)
    if not message.strip():
        return None
    if text[0].isspace() or text.startswith(FENCE) or "\n" in message.strip():
        return Say(message.strip())
    word = PLAIN_WORDS.get(message.strip().lower())
    if word is not None:
        return Command(word)
    command = _COMMAND.match(message)
    if command is None:
        return Say(message.strip())
    name = command[1].lower()
    return Command(name, known=name in COMMANDS)


def is_complete(text: str) -> bool:
    """Whether Enter sends the entry, or begins another line of it."""
    if text.lstrip().startswith(FENCE):
        return text.count(FENCE) >= 2 and text.rstrip().endswith(FENCE)
    return not text.endswith("\\")


def unwrap(text: str) -> str:
    """The message of a complete entry: without the fence around it."""
    stripped = text.strip()
    if not stripped.startswith(FENCE):
        return text
    return stripped.removeprefix(FENCE).removesuffix(FENCE).strip("\n")


def next_line(text: str) -> str:
    """An incomplete entry, ready for its next line: the backslash that asked for it is gone."""
    return text.removesuffix("\\") + "\n"


class Lines(Protocol):
    def read(self) -> str:
        """The next entry.

        Raises:
            EOFError: there is no more.
            KeyboardInterrupt: Ctrl-C at an empty prompt.
        """
        ...


def open_lines(history: Path | None) -> Lines:
    """The terminal with line editing where there is one, else standard input as it comes."""
    return TerminalLines(history) if terminal.interactive() else PlainLines()


class PlainLines:
    """Standard input, a line at a time."""

    def read(self) -> str:
        entry = ""
        while True:
            line = sys.stdin.readline()
            if not line:
                if entry.strip():
                    return entry
                raise EOFError
            entry += line.removesuffix("\n")
            if is_complete(entry):
                return entry
            entry = next_line(entry)


class TerminalLines:
    """prompt_toolkit: editing, history, pasted lines stay one message."""

    def __init__(self, history: Path | None) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory, History, InMemoryHistory

        kept: History = InMemoryHistory()
        if history is not None:
            _private_file(history)
            kept = FileHistory(str(history))
        self._session: PromptSession[str] = PromptSession(
            history=kept, multiline=True, prompt_continuation=CONTINUATION, key_bindings=_keys()
        )

    def read(self) -> str:
        return self._session.prompt(PROMPT)


def _keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: Any) -> None:
        buffer = event.current_buffer
        if is_complete(buffer.text):
            buffer.validate_and_handle()
        elif buffer.cursor_position == len(buffer.text):
            buffer.text = next_line(buffer.text)
            buffer.cursor_position = len(buffer.text)
        else:
            buffer.insert_text("\n")

    @keys.add("escape", "enter")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def _(event: Any) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    return keys


def _private_file(path: Path) -> None:
    """Make the file readable by its owner only, and keep it bounded: the newer half stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))
    path.chmod(0o600)
    if path.stat().st_size > MAX_HISTORY_BYTES:
        tail = path.read_bytes()[-MAX_HISTORY_BYTES // 2 :]
        entry = tail.find(b"\n# ")
        path.write_bytes(tail[entry + 1 :] if entry >= 0 else b"")

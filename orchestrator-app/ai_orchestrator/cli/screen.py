"""How an answer appears: streamed or at once, with the dim line under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.link.answers import AnswerEvent
from ai_orchestrator.cli.notes import answer_note, seam_note


class Screen:
    """Standard output for the answer, standard error for what is said about it.

    Args:
        stream: show tokens as they come.
        notes: also say who answered and what was left out.
    """

    def __init__(self, *, stream: bool = True, notes: bool | None = None) -> None:
        self.stream = stream
        self._notes = terminal.has_terminal() if notes is None else notes
        self._last_character = "\n"
        self._before: Mapping[str, Any] | None = None

    def show(self, event: AnswerEvent) -> None:
        if not self.stream:
            return
        if event.kind == "seam":
            self.break_line()
            terminal.note(seam_note(event.data))
        elif event.text:
            terminal.write(event.text)
            self._last_character = event.text[-1]

    def end(self, done: Mapping[str, Any]) -> None:
        """The answer is complete: show it if it was not streamed, and the line under it."""
        text = str(done.get("response", ""))
        if not self.stream and text:
            terminal.write(text)
            self._last_character = text[-1]
        self.break_line()
        note = answer_note(done, self._before)
        if self._notes and note:
            terminal.note(note)
        self._before = done

    def break_line(self) -> None:
        if self._last_character != "\n":
            terminal.write("\n")
            self._last_character = "\n"

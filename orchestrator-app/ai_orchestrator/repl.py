"""The conversation in a terminal: reads messages and commands, shows answers.

Knows a `Link`, not where the answers come from. What a line means is decided by
`repl_input`; this module acts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from shared_context.errors import ConversationNotFound
from shared_context.storage.identity import new_id

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.advice import complete
from ai_orchestrator.cli.answering import follow, make_request
from ai_orchestrator.cli.exits import OK, exit_code, report
from ai_orchestrator.cli.link.answers import Link
from ai_orchestrator.cli.screen import Screen
from ai_orchestrator.repl_input import Command, Lines, Say, open_lines, understand

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings

HELP = """\
/help            this list
/quit /exit      leave; the conversation is kept (also: quit, exit, q, Ctrl-D)
/clear           wipe this conversation (also: clear)
/save            write this conversation to a JSON file
/history         print the whole conversation
/handoff         end the session: draft a log entry and the briefing, store them if you agree
/stream          switch streaming on or off

Ctrl-C           stop the running answer; twice at an empty prompt: leave
Alt-Enter        new line (or end a line with \\, or write between \"\"\" and \"\"\")
Put a space in front to send text that begins with a slash."""


NOTHING_SAID = "Nothing was said yet."


class Repl:
    """One session.

    Args:
        link: who answers; the caller closes it.
        conversation_id: where the messages go, made with the first of them; None: a new one.
        system: system text of this session.
        tier: who shall answer; None: whoever is there.
        stream: show tokens as they come.
        history: file for the lines typed (arrow keys recall them); None keeps them in memory.
        lines: where input comes from; default: the terminal, or standard input.
        greet: say which model answers; False when the caller has said it.
        resume: gives the command that goes on with a conversation.
    """

    def __init__(
        self,
        link: Link,
        settings: Settings,
        conversation_id: str | None,
        *,
        system: str | None = None,
        tier: str | None = None,
        stream: bool = True,
        history: Path | None = None,
        lines: Lines | None = None,
        greet: bool = True,
        resume: Callable[[str], str] = "orchestrator chat --cid {}".format,
    ) -> None:
        self._link = link
        self._settings = settings
        self._conversation_id = conversation_id or new_id()
        self._keeps = conversation_id is not None
        """Whether there is something to go on with."""
        self._system = system
        self._tier = tier
        self._screen = Screen(stream=stream, notes=True)
        self._greets = greet
        self._resume = resume
        self._interactive = terminal.interactive()
        self._lines = lines or open_lines(history)
        self._code = OK
        self._commands: dict[str, Callable[[], bool]] = {
            "help": self._help,
            "quit": self._quit,
            "exit": self._quit,
            "clear": self._clear,
            "save": self._save,
            "history": self._history,
            "handoff": self._handoff,
            "stream": self._stream,
        }

    def run(self) -> int:
        """Talk until the user leaves; returns the exit code: 0, or that of the first failed
        message when there is no terminal."""
        self._greet()
        leaving = False
        while True:
            try:
                text = self._lines.read()
            except EOFError:
                break
            except KeyboardInterrupt:
                if leaving or not self._interactive:
                    break
                leaving = True
                terminal.note("Press Ctrl-C again, or type /quit, to leave.")
                continue
            leaving = False
            if not self._handle(text):
                break
        self._farewell()
        return OK if self._interactive else self._code

    def _handle(self, text: str) -> bool:
        """False when the session is over."""
        match understand(text):
            case None:
                return True
            case Command(name, known=False):
                terminal.note(
                    f"There is no command /{name}. /help lists them; put a space in front to send it as text."
                )
                return True
            case Command(name):
                return self._attempt(self._commands[name])
            case Say(message):
                return self._attempt(lambda: self._say(message))
        return True

    def _attempt(self, action: Callable[[], bool]) -> bool:
        """Errors are told and the session goes on; only a defect of ours ends it."""
        try:
            return action()
        except KeyboardInterrupt:
            self._screen.break_line()
            terminal.note("Interrupted.")
        except ConversationNotFound:
            terminal.note(NOTHING_SAID)
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            self._screen.break_line()
            report(error)
            self._code = self._code or code
        return True

    def _say(self, message: str) -> bool:
        request = make_request(
            self._settings,
            self._link,
            message,
            self._conversation_id,
            system=self._system,
            tier=self._tier,
        )
        done, _ = follow(self._link.ask(request), self._screen.show, self._screen.break_line)
        self._screen.end(done)
        self._keeps = True
        return True

    def _help(self) -> bool:
        terminal.write(HELP + "\n")
        return True

    def _quit(self) -> bool:
        return False

    def _clear(self) -> bool:
        self._link.clear(self._conversation_id)
        terminal.note("Conversation cleared.")
        return True

    def _save(self) -> bool:
        terminal.note(f"Saved to {self._link.save(self._conversation_id)}")
        return True

    def _history(self) -> bool:
        messages = self._link.history(self._conversation_id)
        if not messages:
            terminal.note(NOTHING_SAID)
        for message in messages:
            who = "You" if message["role"] == "user" else str(message["role"]).capitalize()
            terminal.write(f"{who}, {str(message.get('created_at') or '')[:16]}:\n{message['content']}\n\n")
        return True

    def _handoff(self) -> bool:
        from ai_orchestrator.cli.handoff import ask_and_store

        ask_and_store(self._link, self._link.draft_handoff(self._conversation_id, False))
        return True

    def _stream(self) -> bool:
        self._screen.stream = not self._screen.stream
        terminal.note(f"Streaming is {'on' if self._screen.stream else 'off'}.")
        return True

    def _greet(self) -> None:
        if not (self._interactive and self._greets):
            return
        with terminal.patience("Loading the model…"):
            model = self._link.model()
        where = f" through {self._link.where}" if self._link.remote else ""
        terminal.note(f"Talking to {model}{where}. /help lists the commands.")

    def _farewell(self) -> None:
        if self._interactive and self._keeps:
            resume = complete(f"`{self._resume(self._conversation_id)}`")
            terminal.note(f"Kept as conversation {self._conversation_id}; to go on: {resume}")

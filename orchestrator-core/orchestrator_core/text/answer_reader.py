"""Divides what a model says into text, thoughts and calls of tools, as it arrives.

A call is what can be read as one, as a whole, in a form the model knows, of tools that exist. Everything else
stays text: a marker in prose, an unknown name, JSON about something else.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator_core.text.answer_format import AnswerFormat
from orchestrator_core.text.call_parser import Call, CallParser
from orchestrator_core.text.call_values import Incomplete

MAX_HEAD = 160
"""Characters of a message's head: a channel, an address, a word such as `json`."""

MAX_LOOKS = 4_000_000
"""Characters looked at in vain for calls; then the rest of the answer is text."""

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Said:
    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    text: str


Part = Said | Thought | Call


@dataclass(slots=True)
class _Unmarked:
    """Calls without a mark: they are calls if the whole answer is nothing else.

    Args:
        written: their text. after: what came since, of closing at most.
    """

    calls: list[Call]
    written: str
    closing: str
    after: str = ""

    @classmethod
    def following(cls, before: _Unmarked | None, calls: list[Call], written: str, closing: str) -> _Unmarked:
        if before is None:
            return cls(calls, written, closing)
        return cls([*before.calls, *calls], before.written + before.after + written, closing)


class AnswerReader:
    """
    Args:
        form: how this model writes.
        tools: JSON schemas of the parameters, by name; none: nothing is a call.
        thinking: the answer begins in the middle of thoughts.
    """

    def __init__(
        self, form: AnswerFormat, tools: Mapping[str, Mapping[str, Any]] = {}, *, thinking: bool = False
    ) -> None:
        self._format = form
        self._calls = CallParser(form, tools) if tools else None
        self._thinking = thinking
        self._thought_open, self._thought_close = (mark.strip() for mark in form.thought)
        self._head = form.head
        self._content = "" if self._head else form.content.strip()
        is_token = any(token in self._content for token in form.tokens)
        # Where messages have heads, what closes thoughts closes every message, and another may follow.
        self._message_close = self._thought_close if self._head else ""
        marks = {self._thought_open, self._message_close, self._content * is_token, *(self._head or ())[:1]}
        marks |= self._calls.marks if self._calls else set()
        self._marks = tuple(marks - {""})
        self._held = ""
        self._unmarked: _Unmarked | None = None
        self._last_said = ""
        self._looks = MAX_LOOKS
        self._at_start = True
        self._trims = False
        self._closing: list[str] = []
        self._marked_closing: list[str] = []
        """Of the marked call just read: calls may follow it without marks of their own."""
        self._patience = 0

    def feed(self, text: str) -> Iterator[Part]:
        """What this text makes certain; to be read to its end."""
        self._held += text
        if len(self._held) >= self._patience:
            yield from self._parts(final=False)

    def finish(self, *, cut_off: bool = False) -> Iterator[Part]:
        """What is left. A call that never became whole is text, or dropped when the answer was `cut_off`."""
        yield from self._parts(final=True, cut_off=cut_off)
        if self._unmarked is not None:
            yield from self._unmarked.calls

    def _parts(self, *, final: bool, cut_off: bool = False) -> Iterator[Part]:
        self._patience = 0
        while self._held and not self._waits_for_closing(final):
            if self._thinking:
                if not (yield from self._thoughts(final)):
                    return
                continue
            begin = self._held.lstrip() if self._at_start else self._held
            at_mark = begin.startswith(self._marks)
            if not (at_mark or final) and any(mark.startswith(begin) for mark in self._marks):
                return
            if at_mark or self._at_start:
                try:
                    taken = self._taken(at_mark)
                except Incomplete:
                    if not final:
                        # Tried again when there is clearly more: at each token it would be quadratic.
                        self._patience = len(self._held) + 1 + len(self._held) // 8
                        return
                    taken = None
                    if cut_off and at_mark:
                        self._held = ""
                        return
                if taken is not None:
                    yield from taken
                    continue
                self._at_start = False
            length = self._length_of_text(1 if self._held.startswith(self._marks) else 0, final)
            if not length:
                return
            text, self._held = self._held[:length], self._held[length:]
            yield from self._said(text)

    def _said(self, text: str) -> Iterator[Part]:
        if self._unmarked is not None:
            self._unmarked.after += text
            if self._unmarked.closing.startswith(_SPACE.sub("", self._unmarked.after)):
                return
            text, self._unmarked = self._unmarked.written + self._unmarked.after, None
        text = text.lstrip() if self._trims else text
        if text:
            self._trims, self._last_said, self._marked_closing = False, text[-1], []
            yield Said(text)

    def _taken(self, at_mark: bool) -> list[Part] | None:
        """What stands at the beginning of the held text, if it is no text; None if it is.

        Raises:
            Incomplete: it cannot be told yet.
        """
        if self._head and self._held.startswith(self._head[0]):
            return self._after_head(self._head[1])
        if self._message_close and self._held.startswith(self._message_close):
            self._held, self._at_start, self._trims = self._held[len(self._message_close) :], True, False
            return []
        can_think = self._at_start or self._thought_open in self._format.tokens
        if can_think and self._thought_open and self._held.startswith(self._thought_open):
            self._held, self._thinking = self._held[len(self._thought_open) :], True
            return []
        if self._content and self._at_start and self._held.startswith(self._content):
            self._held, self._trims = self._held[len(self._content) :], True
            return []
        quoted = self._last_said == "`" and not self._at_start
        return None if self._calls is None or quoted else self._read_calls(self._calls, at_mark)

    def _read_calls(self, parser: CallParser, at_mark: bool) -> list[Part] | None:
        try:
            calls, end, closing = parser.read(self._held, at_start=self._at_start)
        except (ValueError, Incomplete) as error:
            self._looks -= len(self._held)
            if self._looks < 0:
                self._calls, self._marks = None, tuple(set(self._marks) - parser.marks)
            if isinstance(error, Incomplete) and self._calls is not None:
                raise
            return None
        written, self._held, self._at_start = self._held[:end], self._held[end:], True  # Another may follow.
        before, self._unmarked = self._unmarked, None
        if not (at_mark or self._marked_closing):
            self._unmarked = _Unmarked.following(before, calls, written, "".join(closing))
            return []
        self._marked_closing = self._closing = closing if at_mark else self._marked_closing
        self._trims = True
        return [*(before.calls if before else ()), *calls]

    def _after_head(self, ending: str) -> list[Part] | None:
        """A head says what its message is: thoughts, a call, or text to read."""
        end = self._held.find(ending)
        if end < 0:
            if len(self._held) > MAX_HEAD:
                return None
            raise Incomplete
        end += len(ending)
        head = self._held[:end]
        call = self._calls.addressed(self._held, end) if self._calls else None
        if call is not None:
            self._held, self._trims = self._held[call[1] :], True
            return [call[0]]
        self._thinking = _SPACE.sub("", head) == _SPACE.sub("", self._thought_open)
        self._held, self._at_start, self._trims = self._held[end:], True, True
        return []

    def _thoughts(self, final: bool) -> Generator[Part, None, bool]:
        """Whether they came to their end."""
        thought, closed, rest = self._held.partition(self._thought_close)
        kept = 0 if closed or final else overlap(thought, self._thought_close)
        thought, self._held = thought[: len(thought) - kept], thought[len(thought) - kept :]
        if closed:
            self._held, self._thinking, self._at_start, self._trims = rest, False, True, True
        if thought:
            yield Thought(thought)
        return bool(closed)

    def _length_of_text(self, start: int, final: bool) -> int:
        """How many characters are surely text: up to the next mark, or to what may become one."""
        places = [at for mark in self._marks if (at := self._held.find(mark, start)) >= 0]
        kept = 0 if final else max((overlap(self._held[start:], mark) for mark in self._marks), default=0)
        return min([*places, len(self._held) - kept])

    def _waits_for_closing(self, final: bool) -> bool:
        """What closes a call is dropped; whether more of it may come."""
        while self._closing:
            held = self._held.lstrip()
            closing = self._closing[0]
            if held.startswith(closing):
                self._held = held[len(closing) :]
            elif closing.startswith(held) and not final:
                return True
            self._closing = self._closing[1:]
        return not self._held


def overlap(text: str, mark: str) -> int:
    """How many characters at the end of `text` begin `mark`."""
    for size in range(min(len(text), len(mark) - 1), 0, -1):
        if mark.startswith(text[-size:]):
            return size
    return 0

"""Turns messages into the text a model was trained to see: with its own chat template, always.

Where a template refuses messages, or leaves out in silence what somebody said, they are brought
into another shape and it is asked again; at last tools are described in words. Which shape serves is
found out with an outline of the conversation, in which every text is one unmistakable word: what the
template did with it can be seen whatever it does to real texts (trimming, escaping, JSON in JSON).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from orchestrator_core import message_shape as shapes
from orchestrator_core.backend import ChatBackend, Prompt, SpecialTokens
from orchestrator_core.errors import TemplateOverrun, TemplateUnusable
from orchestrator_core.messages import ChatMessage
from orchestrator_core.prompt.fallback_form import fallback_form
from orchestrator_core.prompt.guard import ControlGuard, Marks, split_marked, texts_in
from orchestrator_core.prompt.learned_format import learned_format
from orchestrator_core.prompt.outline import Outline
from orchestrator_core.prompt.rendering import RENDERER
from orchestrator_core.prompt.ways import CALLS_IN_WORDS, Messages, Tools, Way, uses_tools, ways
from orchestrator_core.remembered import Remembered
from orchestrator_core.text.answer_format import AnswerFormat

log = logging.getLogger(__name__)


class ChatTemplate:
    """Renders prompts for one model.

    Args:
        source: the model's Jinja template, or None.
        special: its control tokens.
        tool_source: its template for conversations with tools, where that is another one.
        edition: of the backend; see `Prompt`.
    """

    def __init__(
        self,
        source: str | None,
        special: SpecialTokens,
        tool_source: str | None = None,
        edition: int | None = None,
    ) -> None:
        self._edition = edition
        self._special = special
        self._source = (source or "").strip() and source
        self._tool_source = tool_source or self._source
        self._guard = ControlGuard(special.control)
        self._objections: Remembered[tuple[str, Way], str] = Remembered(1024)
        self._overran = ""
        self._answer_format: AnswerFormat | None = None
        self._logged: set[str] = set()

    @classmethod
    def for_backend(cls, backend: ChatBackend) -> ChatTemplate:
        """The template of the backend's model; loads the model if need be."""
        return cls(
            backend.chat_template(),
            backend.special_tokens(),
            backend.chat_template(tools=True),
            backend.edition,
        )

    def render(
        self,
        messages: Messages,
        *,
        tools: Tools = (),
        stable_chars: int = 0,
        today: datetime | None = None,
        begun: bool = False,
    ) -> Prompt:
        """The prompt for these messages, ending where the answer begins.

        Args:
            messages: in order; system text first.
            tools: OpenAI-shaped definitions. A template that uses tools gets them; for
                another one they are described in the system text.
            stable_chars: how many characters of the first message are the snapshot.
            today: for templates that write a date; None: the date stands in the user turns.
            begun: the answer's beginning is known already and will follow: nothing that the template
                puts before a new answer (such as the opening of thoughts) belongs there.
        """
        marks = Marks(
            texts_in([[message.as_dict() for message in messages], list(tools), self._source or ""])
        )
        guarded = [self._guarded(message, marks) for message in messages]
        if stable_chars:
            guarded[0] = self._with_stable_mark(messages[0], stable_chars, marks)
        safe_tools = [self._guard.mark_all(tool, marks.cut) for tool in tools]
        text = self._text(guarded, safe_tools, today, marks.stable if begun else "")
        pieces, stable = split_marked(self._bos_once(text), marks)
        return Prompt(pieces, tuple(messages), tuple(tools), stable, self._edition)

    def ways_for(self, messages: Messages, tools: Tools = ()) -> Iterator[Way]:
        """The ways in which the template keeps all that was said, best first."""
        source = self._source_for(messages, tools)
        outline = Outline.of(messages, tools)
        for way in ways(uses_tools(messages, tools)):
            if source and not self._objection(source, outline, way):
                yield way

    @property
    def answer_format(self) -> AnswerFormat:
        """How this model writes calls and thoughts."""
        if self._answer_format is None:
            source = self._tool_source or ""
            self._answer_format = learned_format(self.sample, self._special.control, source)
        return self._answer_format

    def sample(self, messages: Messages, tools: Tools, asked: bool) -> str:
        """A rendering without guards and fallbacks; "" where the template takes none of it."""
        for way in self.ways_for(messages, tools):
            if not (way.in_words or way.calls == CALLS_IN_WORDS):
                variables = self._variables(way, messages, tools) | {"add_generation_prompt": asked}
                with suppress(TemplateUnusable):
                    return RENDERER.render(self._source_for(messages, tools), variables)
        return ""

    def _text(self, messages: Messages, tools: Tools, today: datetime | None, begun: str) -> str:
        objection = ""
        unthought = [replace(message, reasoning="") for message in messages]
        # Some templates refuse thoughts beside a text that calls tools.
        spoken = (messages, unthought) if any(message.reasoning for message in messages) else (messages,)
        for way, said in ((way, said) for way in self.ways_for(messages, tools) for said in spoken):
            variables = self._variables(way, said, tools)
            if begun:
                variables["messages"].append({"role": "assistant", "content": begun + "x"})
                variables["add_generation_prompt"] = False
            try:
                text = RENDERER.render(self._source_for(messages, tools), variables, today)
            except TemplateOverrun as error:
                objection = str(error)
                break
            except TemplateUnusable as error:
                objection = objection or f"refuses them: {error}"
            else:
                self._log_detour(way, messages, tools, objection)
                return text.partition(begun)[0] if begun else text
        if self._source:
            self._log_detour(None, messages, tools, objection)
        else:
            self._log_once("The model has no chat template; using Mistral's [INST] format")
        if uses_tools(messages, tools):
            messages = shapes.tools_in_words(messages, tools)
        return fallback_form(messages, self._special, has_template=bool(self._source))

    def _log_detour(self, way: Way | None, messages: Messages, tools: Tools, objection: str) -> None:
        straight = next(ways(uses_tools(messages, tools)))
        if way != straight:
            source = self._source_for(messages, tools)
            objection = self._objection(source, Outline.of(messages, tools), straight) or objection
            instead = f"it is shown messages {way}" if way else "roles are written as words"
            self._log_once(f"The chat template {objection}; {instead}")

    def _objection(self, source: str, outline: Outline, way: Way) -> str:
        """What is wrong with this way for messages of this outline; "" when nothing is."""
        return self._objections.get((outline.key, way), lambda: self._object(source, outline, way))

    def _object(self, source: str, outline: Outline, way: Way) -> str:
        if self._overran:
            return self._overran
        try:
            text = RENDERER.render(source, self._variables(way, outline.messages, outline.tools))
        except TemplateOverrun as error:
            self._overran = str(error)
            return self._overran
        except TemplateUnusable as error:
            return f"refuses them: {error}"
        missing = outline.missing(text)
        return missing and f"leaves out {missing}"

    def _source_for(self, messages: Messages, tools: Tools) -> str:
        return (self._tool_source if uses_tools(messages, tools) else self._source) or ""

    def _variables(self, way: Way, messages: Messages, tools: Tools) -> dict[str, Any]:
        return {
            **way.variables(messages, tools),
            "documents": None,
            "add_generation_prompt": True,
            "bos_token": self._special.bos,
            "eos_token": self._special.eos,
        }

    def _guarded(self, message: ChatMessage, marks: Marks) -> ChatMessage:
        def safe(text: str) -> str:
            return self._guard.mark(marks.clean(text), marks.cut)

        return replace(
            message,
            content=safe(message.content),
            tool_calls=tuple(self._guard.mark_all(call, marks.cut) for call in message.tool_calls),
            tool_call_id=message.tool_call_id and safe(message.tool_call_id),
            name=message.name and safe(message.name),
            reasoning=safe(message.reasoning),
        )

    def _with_stable_mark(self, message: ChatMessage, stable_chars: int, marks: Marks) -> ChatMessage:
        head, tail = (
            self._guard.mark(marks.clean(part), marks.cut)
            for part in (message.content[:stable_chars], message.content[stable_chars:])
        )
        return replace(message, content=head + marks.stable + tail)

    def _bos_once(self, text: str) -> str:
        """Without BOS where the backend adds it; templates and the fallback both write it."""
        bos = self._special.bos
        return text.removeprefix(bos) if bos and self._special.adds_bos else text

    def _log_once(self, reason: str) -> None:
        if reason not in self._logged and len(self._logged) < 100:
            self._logged.add(reason)
            log.warning("%s", reason)

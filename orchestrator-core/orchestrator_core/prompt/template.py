"""Turns messages into the text a model was trained to see.

The model's own chat template does it where there is one that works; Mistral's models get
their `[INST]` format with the system text where the prefix stays stable; everything else
falls back to that format, and the log says why.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from orchestrator_core import message_shape as shapes
from orchestrator_core.backend import ChatBackend, Prompt, SpecialTokens
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.prompt.guard import ControlGuard, Marks, split_marked, texts_in
from orchestrator_core.prompt.mistral import MARKER, MistralForm, mistral_form
from orchestrator_core.prompt.sandbox import SandboxedTemplate, TemplateError

log = logging.getLogger(__name__)

TODAY_IN_WORDS = "see the newest message"
"""What a template that writes today's date into the system text gets instead: a date there
would change the whole prompt at midnight. The date and time stand in each user turn."""

Messages = Sequence[ChatMessage]


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to bring messages into shape, and its name for the log."""

    name: str
    shape: Callable[[Messages], Messages]


_WAYS = (
    _Way("as they are", lambda messages: messages),
    _Way("with neighbours of one role joined", shapes.merged),
    _Way("beginning with the user", shapes.alternating),
    _Way("with the system text in the first user message", shapes.folded),
)


class ChatTemplate:
    """Renders prompts for one model.

    Args:
        source: the model's Jinja template, or None.
        special: its control tokens.
        count_tokens: the backend's; asked twice at the start for Mistral's formats.
    """

    def __init__(
        self, source: str | None, special: SpecialTokens, count_tokens: Callable[[str], int]
    ) -> None:
        self._special = special
        self._guard = ControlGuard(special.control)
        self._logged: set[str] = set()
        self._source = source
        self._template = self._compile(source)
        self._form: MistralForm | None = None
        if self._template is None or (source and MARKER in source):
            own = source if self._template is not None else None
            self._form = mistral_form(own, special.control, special.eos, count_tokens)

    @classmethod
    def for_backend(cls, backend: ChatBackend) -> ChatTemplate:
        """The template of the backend's model; loads the model if need be."""
        return cls(backend.chat_template(), backend.special_tokens(), backend.count_tokens)

    @property
    def kind(self) -> str:
        """`mistral`, or `model` for the model's own template; for `/model/info` and logs."""
        return "mistral" if self._form is not None else "model"

    def render(
        self,
        messages: Messages,
        *,
        tools: Sequence[dict[str, Any]] = (),
        stable_chars: int = 0,
        today: datetime | None = None,
    ) -> Prompt:
        """The prompt for these messages, ending where the answer begins.

        Args:
            messages: in order; system text first.
            tools: OpenAI-shaped definitions. A template that uses tools gets them; for
                another one they are described in the system text.
            stable_chars: how many characters of the first message are the snapshot.
            today: for templates that write a date; None: the date stands in the user turns.
        """
        marks = Marks(
            texts_in([[message.as_dict() for message in messages], list(tools), self._source or ""])
        )
        guarded = [self._guarded(message, marks) for message in messages]
        if stable_chars:
            guarded[0] = self._with_stable_mark(messages[0], stable_chars, marks)
        safe_tools = [self._guard.mark_all(tool, marks.cut) for tool in tools]
        pieces, stable = split_marked(self._bos_once(self._text(guarded, safe_tools, today)), marks)
        return Prompt(pieces, messages=tuple(messages), tools=tuple(tools), stable_prefix=stable)

    def _text(self, messages: Messages, tools: list[dict[str, Any]], today: datetime | None) -> str:
        uses_tools = bool(tools) or any(m.role is Role.TOOL or m.tool_calls for m in messages)
        if self._template is not None and (self._form is None or uses_tools):
            if not uses_tools:
                text = self._by_template(self._template, messages, [], today)
            elif "tools" in (self._source or ""):
                text = self._by_template(self._template, messages, tools, today)
            else:
                text = None
                messages = shapes.tools_in_words(messages, tools)
                if self._form is None:
                    text = self._by_template(self._template, messages, [], today)
            if text is not None:
                return text
        if uses_tools:
            messages = shapes.tools_in_words(messages, tools)
        return self._by_mistral_form(messages)

    def _by_template(
        self,
        template: SandboxedTemplate,
        messages: Messages,
        tools: list[dict[str, Any]],
        today: datetime | None,
    ) -> str | None:
        """The text, in the first shape the template accepts; None when it accepts none."""
        for way in _WAYS:
            shaped = way.shape(messages)
            try:
                text = template.render(self._variables(shaped, tools, today))
            except TemplateError as error:
                self._log_once(f"The chat template refuses the messages {way.name}: {error}")
                continue
            lost = _lost(shaped, text)
            if not lost:
                return text
            self._log_once(f"The chat template leaves out the {lost} text of messages {way.name}")
        self._log_once("The chat template accepts no shape of these messages; using Mistral's [INST] format")
        return None

    def _by_mistral_form(self, messages: Messages) -> str:
        form = self._form or MistralForm(eos=self._special.eos or "</s>")
        return self._special.bos + form.render(shapes.alternating(messages))

    def _variables(
        self, messages: Messages, tools: list[dict[str, Any]], today: datetime | None
    ) -> dict[str, Any]:
        return {
            "messages": [_for_template(message) for message in messages],
            "tools": tools or None,
            "documents": None,
            "add_generation_prompt": True,
            "bos_token": self._special.bos,
            "eos_token": self._special.eos,
            "strftime_now": lambda pattern: today.strftime(pattern) if today else TODAY_IN_WORDS,
        }

    def _guarded(self, message: ChatMessage, marks: Marks) -> ChatMessage:
        content = self._guard.mark(marks.clean(message.content), marks.cut)
        calls = tuple(self._guard.mark_all(call, marks.cut) for call in message.tool_calls)
        return replace(message, content=content, tool_calls=calls)

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

    def _compile(self, source: str | None) -> SandboxedTemplate | None:
        if source is None or not source.strip():
            self._log_once("The model has no chat template; using Mistral's [INST] format")
            return None
        try:
            return SandboxedTemplate(source)
        except TemplateError as error:
            self._log_once(f"The model's chat template is not usable, {error}; using Mistral's [INST] format")
            return None

    def _log_once(self, reason: str) -> None:
        if reason not in self._logged and len(self._logged) < 100:
            self._logged.add(reason)
            log.warning("%s", reason)


def _lost(messages: Messages, text: str) -> str:
    """The role whose text a template left out without a word, or ""."""
    for message in (*messages[:1], *messages[-1:]):
        if message.content.strip() and message.content.strip() not in text:
            return message.role.value
    return ""


def _for_template(message: ChatMessage) -> dict[str, Any]:
    """The shape templates expect: arguments of tool calls as an object, not as JSON text."""
    out = message.as_dict()
    if message.tool_calls:
        out["tool_calls"] = list(_calls_with_objects(message.tool_calls))
    return out


def _calls_with_objects(calls: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for call in calls:
        function = dict(call.get("function", {}))
        if isinstance(function.get("arguments"), str):
            with suppress(ValueError):
                function["arguments"] = json.loads(function["arguments"])
        yield {**call, "function": function}

"""The ways in which messages and tools can be shown to a chat template."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any

from orchestrator_core import message_shape as shapes
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.prompt.render_worker import TODAY_IN_WORDS

Messages = Sequence[ChatMessage]
Tools = Sequence[dict[str, Any]]
Shape = Callable[[Messages], Messages]

_SHAPES: dict[str, Shape] = {
    "as they are": lambda messages: messages,
    "with neighbours of one role joined": shapes.merged,
    "beginning with the user": shapes.alternating,
    "with the system text in the first user message": shapes.folded,
}
_CALLS: dict[str, Shape] = {
    "": lambda messages: messages,
    "short call ids": shapes.with_short_ids,
    "one call per message": shapes.one_call_each,
    "one call per message, short ids": lambda messages: shapes.with_short_ids(shapes.one_call_each(messages)),
}
CALLS_IN_WORDS = "calls in words"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to show messages to a template.

    Args:
        shape: key of _SHAPES.
        calls: key of _CALLS, or CALLS_IN_WORDS.
        arguments_as_text: of calls, as JSON; otherwise as an object, which most templates expect.
        empty_list: no tools are `[]`; otherwise none.
        in_words: tools, calls and results are described in ordinary messages.
        as_functions: tools are JSON text named `functions`, as before there was a convention.
    """

    shape: str = "as they are"
    calls: str = ""
    arguments_as_text: bool = False
    empty_list: bool = False
    in_words: bool = False
    as_functions: bool = False

    def __str__(self) -> str:
        parts = (
            self.shape,
            self.calls,
            "arguments as text" if self.arguments_as_text else "",
            "an empty list of tools" if self.empty_list else "",
            "tools in words" if self.in_words else "",
            "tools named functions" if self.as_functions else "",
        )
        return ", ".join(filter(None, parts))

    def variables(self, messages: Messages, tools: Tools) -> dict[str, Any]:
        """The variables `messages` and `tools` for the template."""
        if self.in_words:
            messages, tools = shapes.tools_in_words(messages, tools), ()
        shaped = _SHAPES[self.shape](_CALLS.get(self.calls, shapes.calls_in_words)(messages))
        variables: dict[str, Any] = {
            "messages": [_for_template(message, self.arguments_as_text) for message in shaped],
            "tools": list(tools) or ([] if self.empty_list else None),
        }
        if self.as_functions:
            variables |= {
                "functions": json.dumps(list(tools), ensure_ascii=False),
                "datetime": TODAY_IN_WORDS,
            }
        return variables


def ways(with_tools: bool) -> Iterator[Way]:
    """All ways, in the order they are tried: what changes least comes first."""
    if with_tools:
        for shape in _SHAPES:
            for as_text, calls in product((False, True), _CALLS):
                yield Way(shape, calls, as_text)
        for shape in _SHAPES:
            yield Way(shape, CALLS_IN_WORDS)
            yield Way(shape, as_functions=True)
    for shape in _SHAPES:
        for empty_list in (False, True):
            yield Way(shape, empty_list=empty_list, in_words=with_tools)
    for shape in _SHAPES:
        yield Way(shape, in_words=with_tools, as_functions=True)


def uses_tools(messages: Messages, tools: Tools) -> bool:
    """Whether a conversation needs a template that knows tools."""
    return bool(tools) or any(m.role is Role.TOOL or m.tool_calls for m in messages)


def _for_template(message: ChatMessage, arguments_as_text: bool) -> dict[str, Any]:
    out = message.as_dict()
    if message.reasoning:
        out["thinking"] = message.reasoning  # The name gpt-oss's template knows.
    if message.tool_calls:
        out["tool_calls"] = [_call(call, arguments_as_text) for call in message.tool_calls]
    return out


def _call(call: dict[str, Any], arguments_as_text: bool) -> dict[str, Any]:
    function = dict(call.get("function", {}))
    arguments = function.get("arguments")
    if isinstance(arguments, str) and not arguments_as_text:
        with suppress(ValueError, RecursionError):
            function["arguments"] = json.loads(arguments)
    elif arguments_as_text and not isinstance(arguments, str):
        function["arguments"] = json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": function}

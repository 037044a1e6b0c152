"""Brings messages into the shape a strict template accepts.

Many templates refuse a system message, or demand that user and assistant alternate and
that the user begins. Nothing is dropped: neighbours of one role are joined, and the system
text moves in front of the first user message.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from orchestrator_core.messages import ChatMessage, Role

SEPARATOR = "\n\n"


def merged(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Neighbours of one role joined to one message; system messages all go to the front.

    Tool calls and tool results are left as they are.
    """
    system = SEPARATOR.join(message.content for message in messages if message.role is Role.SYSTEM)
    out = [ChatMessage(Role.SYSTEM, system)] if system else []
    for message in messages:
        if message.role is Role.SYSTEM:
            continue
        if out and _joins(out[-1], message):
            out[-1] = replace(out[-1], content=out[-1].content + SEPARATOR + message.content)
        else:
            out.append(message)
    return out


def alternating(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """`merged`, and an answer that opens the conversation gets an empty user message before it."""
    out = merged(messages)
    start = 1 if out and out[0].role is Role.SYSTEM else 0
    if len(out) == start or out[start].role is not Role.USER:
        out.insert(start, ChatMessage(Role.USER, ""))
    return out


def folded(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """`alternating`, with the system text in front of the first user message."""
    out = alternating(messages)
    if out[0].role is not Role.SYSTEM:
        return out
    first = out[1]
    text = SEPARATOR.join(part for part in (out[0].content, first.content) if part)
    return [replace(first, content=text), *out[2:]]


def _joins(last: ChatMessage, message: ChatMessage) -> bool:
    return (
        last.role is message.role
        and message.role is not Role.TOOL
        and not (last.tool_calls or message.tool_calls)
    )


def tools_in_words(messages: Sequence[ChatMessage], tools: Sequence[dict[str, Any]]) -> list[ChatMessage]:
    """Tools, calls and results as plain text, for templates that know nothing of tools.

    A call is written as `{"name": …, "arguments": …}`, which is also what the model is told
    to answer with.
    """
    out = [_without_tools(message) for message in messages]
    if not tools:
        return out
    functions = [tool.get("function", tool) for tool in tools]
    described = "\n".join(json.dumps(function, ensure_ascii=False) for function in functions)
    text = (
        "You may call these tools, each described by one line of JSON:\n"
        f"{described}\n"
        'To call one, answer only with JSON of this form: {"name": "<tool>", "arguments": {…}}'
    )
    if out and out[0].role is Role.SYSTEM:
        return [replace(out[0], content=out[0].content + SEPARATOR + text), *out[1:]]
    return [ChatMessage(Role.SYSTEM, text), *out]


def _without_tools(message: ChatMessage) -> ChatMessage:
    if message.role is Role.TOOL:
        name = f" of {message.name}" if message.name else ""
        return ChatMessage(Role.USER, f"Result{name}: {message.content}")
    if not message.tool_calls:
        return message
    calls = "\n".join(_call_in_words(call) for call in message.tool_calls)
    return ChatMessage(message.role, "\n".join(part for part in (message.content, calls) if part))


def _call_in_words(call: dict[str, Any]) -> str:
    function = call.get("function", {})
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        with suppress(ValueError):
            arguments = json.loads(arguments)
    return json.dumps({"name": function.get("name"), "arguments": arguments}, ensure_ascii=False)

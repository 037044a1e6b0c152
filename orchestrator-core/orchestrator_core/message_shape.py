"""Brings messages into the shape a strict template accepts.

Many templates refuse a system message, demand that user and assistant alternate and that the
user begins, or know one tool call per message only. Nothing is dropped: neighbours of one role
are joined, the system text moves in front of the first user message, each call is followed by
its result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from orchestrator_core.messages import ChatMessage, Role

SEPARATOR = "\n\n"


def merged(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Neighbours of one role joined to one message; system messages all go to the front.

    Tool calls and tool results are left as they are, empty answers left out.
    """
    system = SEPARATOR.join(message.content for message in messages if message.role is Role.SYSTEM)
    out = [ChatMessage(Role.SYSTEM, system)] if system else []
    for message in messages:
        content = message.content.strip() or message.tool_calls
        if message.role is Role.SYSTEM or (message.role is Role.ASSISTANT and not content):
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


def one_call_each(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """One call per message, each followed by its results."""
    out: list[ChatMessage] = []
    left = list(messages)
    while left:
        message = left.pop(0)
        if len(message.tool_calls) < 2:
            out.append(message)
            continue
        for number, call in enumerate(message.tool_calls):
            out.append(replace(message, content="" if number else message.content, tool_calls=(call,)))
            results = [answer for answer in left if call.get("id") and answer.tool_call_id == call["id"]]
            left = [answer for answer in left if answer not in results]
            out += results
    return out


def with_short_ids(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Ids of calls as nine letters and digits, the only form that Mistral's templates take."""
    return [
        replace(
            message,
            tool_calls=tuple({**call, "id": _short(call.get("id"))} for call in message.tool_calls),
            tool_call_id=message.tool_call_id and _short(message.tool_call_id),
        )
        for message in messages
    ]


def _short(call_id: object) -> str:
    return hashlib.sha256(str(call_id).encode("utf-8", "replace")).hexdigest()[:9]


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


def calls_in_words(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Calls as the text of their message, as `tools_in_words` writes them; results stay what they are."""
    return [_with_calls_in_words(message) for message in messages]


def _with_calls_in_words(message: ChatMessage) -> ChatMessage:
    if not message.tool_calls:
        return message
    calls = "\n".join(_call_in_words(call) for call in message.tool_calls)
    return replace(message, content="\n".join(filter(None, [message.content, calls])), tool_calls=())


def _without_tools(message: ChatMessage) -> ChatMessage:
    if message.role is Role.TOOL:
        name = f" of {message.name}" if message.name else ""
        return ChatMessage(Role.USER, f"Result{name}: {message.content}")
    return _with_calls_in_words(message)


def _call_in_words(call: dict[str, Any]) -> str:
    function = call.get("function", {})
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    return json.dumps({"name": function.get("name"), "arguments": arguments}, ensure_ascii=False)

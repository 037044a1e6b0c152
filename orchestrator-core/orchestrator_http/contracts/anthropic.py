"""Anthropic's Messages API: requests, whole answers, and the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from orchestrator_core.chat_request import Text as AnyText
from orchestrator_core.errors import InvalidRequest
from pydantic import Field

from orchestrator_http import sse
from orchestrator_http.completions.deltas import (
    CallArguments,
    CallBegins,
    Collected,
    Delta,
    Finished,
    Text,
    Thinking,
)
from orchestrator_http.completions.json_schemas import read_json
from orchestrator_http.contracts.blocks import text_of
from orchestrator_http.schemas.common import Body
from orchestrator_http.schemas.openai import MAX_MESSAGES, MAX_TOOLS, ChatCompletionRequest

Blocks = AnyText | Annotated[list[dict[str, Any]], Field(max_length=1000)]

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class AnthropicMessage(Body):
    role: Literal["user", "assistant", "system"]
    content: Blocks


class AnthropicTool(Body):
    name: str
    type: str | None = None
    description: AnyText | None = None
    input_schema: dict[str, Any] | None = None


class AnthropicToolChoice(Body):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class MessagesPrompt(Body):
    """What both routes take."""

    model: Annotated[str, Field(max_length=500)]
    messages: list[AnthropicMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    system: Blocks | None = None
    tools: Annotated[list[AnthropicTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: AnthropicToolChoice | None = None


class MessagesRequest(MessagesPrompt):
    max_tokens: int = Field(ge=1)
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: dict[str, Any] | None = None


def as_chat(body: MessagesPrompt) -> ChatCompletionRequest:
    """
    Raises:
        InvalidRequest, pydantic.ValidationError: something in it cannot be used.
    """
    messages: list[dict[str, Any]] = []
    if body.system:
        messages.append({"role": "system", "content": _text(body.system)})
    for message in body.messages:
        messages += _messages(message)
    chat: dict[str, Any] = {"model": body.model, "messages": messages}
    if body.tools:
        chat["tools"] = [_tool(tool) for tool in body.tools]
    if body.tool_choice is not None:
        chat["tool_choice"] = _choice(body.tool_choice)
        chat["parallel_tool_calls"] = not body.tool_choice.disable_parallel_tool_use
    if isinstance(body, MessagesRequest):
        chat |= {
            "max_tokens": body.max_tokens,
            "stop": body.stop_sequences,
            "stream": body.stream,
            "metadata": body.metadata,
            **{name: getattr(body, name) for name in ("temperature", "top_p", "top_k")},
        }
    return ChatCompletionRequest.model_validate(chat)


def whole(run_id: str, model: str, found: Collected) -> dict[str, Any]:
    """The answer of a client that does not stream."""
    content: list[dict[str, Any]] = []
    if found.thinking:
        content.append({"type": "thinking", "thinking": found.thinking, "signature": ""})
    if found.text:
        content.append({"type": "text", "text": found.text})
    content += [
        {"type": "tool_use", "id": call["id"], "name": call["name"], "input": read_json(call["arguments"])}
        for call in found.calls
    ]
    return {
        **_head(run_id, model),
        "content": content,
        "stop_reason": STOP_REASONS[found.reason],
        "usage": _usage(found.usage),
    }


def events(run_id: str, model: str, deltas: Iterable[Delta]) -> Iterator[bytes]:
    """The events of a stream. Text and each call are blocks with a number, one after another."""
    yield _event("message_start", {"message": {**_head(run_id, model), "content": [], "usage": _usage({})}})
    block, open_block = -1, ""
    for delta in deltas:
        match delta:
            case None:
                yield _event("ping", {})
            case Text(text):
                if open_block != "text":
                    yield from _closed(block, open_block)
                    block, open_block = block + 1, "text"
                    yield _begins(block, {"type": "text", "text": ""})
                yield _adds(block, {"type": "text_delta", "text": text})
            case Thinking(text):
                if open_block != "thinking":
                    yield from _closed(block, open_block)
                    block, open_block = block + 1, "thinking"
                    yield _begins(block, {"type": "thinking", "thinking": "", "signature": ""})
                yield _adds(block, {"type": "thinking_delta", "thinking": text})
            case CallBegins(_, call_id, name):
                yield from _closed(block, open_block)
                block, open_block = block + 1, "call"
                yield _begins(block, {"type": "tool_use", "id": call_id, "name": name, "input": {}})
            case CallArguments(_, text):
                yield _adds(block, {"type": "input_json_delta", "partial_json": text})
            case Finished(reason, usage):
                yield from _closed(block, open_block)
                ending = {"stop_reason": STOP_REASONS[reason], "stop_sequence": None}
                yield _event("message_delta", {"delta": ending, "usage": _usage(usage)})
                yield _event("message_stop", {})


def _messages(message: AnthropicMessage) -> list[dict[str, Any]]:
    """One message as OpenAI's: results of tools are messages of their own, in front of what the user says."""
    if isinstance(message.content, str):
        return [{"role": message.role, "content": message.content}]
    results, texts, calls = [], [], []
    for block in message.content:
        match block.get("type"):
            case "tool_use":
                arguments = json.dumps(block.get("input") or {}, ensure_ascii=False)
                function = {"name": block.get("name"), "arguments": arguments}
                calls.append({"id": block.get("id"), "type": "function", "function": function})
            case "tool_result":
                content = _text(block.get("content") or "")
                results.append({"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": content})
            case "thinking" | "redacted_thinking":
                continue
            case _:
                texts.append(text_of(block))
    said: dict[str, Any] = {"role": message.role, "content": "".join(texts)}
    if calls:
        said["tool_calls"] = calls
    return [*results, *([said] if texts or calls or not results else [])]


def _text(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(map(text_of, content))


def _tool(tool: AnthropicTool) -> dict[str, Any]:
    if tool.input_schema is None:
        raise InvalidRequest(
            f"The tool {tool.name[:80]!r} of the type {tool.type!r} runs at Anthropic's and cannot be used here.",
            param="tools",
        )
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", "function": function}


def _choice(choice: AnthropicToolChoice) -> str | dict[str, Any]:
    if choice.type == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return {"auto": "auto", "any": "required", "none": "none"}[choice.type]


def _head(run_id: str, model: str) -> dict[str, Any]:
    return {
        "id": f"msg_{run_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _usage(usage: dict[str, int]) -> dict[str, int]:
    cached = usage.get("cached_tokens", 0)
    return {
        "input_tokens": usage.get("prompt_tokens", 0) - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.get("completion_tokens", 0),
    }


def _begins(block: int, content: dict[str, Any]) -> bytes:
    return _event("content_block_start", {"index": block, "content_block": content})


def _adds(block: int, delta: dict[str, Any]) -> bytes:
    return _event("content_block_delta", {"index": block, "delta": delta})


def _closed(block: int, open_block: str) -> list[bytes]:
    return [_event("content_block_stop", {"index": block})] if open_block else []


def _event(name: str, fields: dict[str, Any]) -> bytes:
    return sse.frame({"type": name, **fields}, event=name)

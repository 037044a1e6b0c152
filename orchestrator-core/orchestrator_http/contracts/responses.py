"""OpenAI's Responses API: requests, whole answers, and the events of a stream."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

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
from orchestrator_http.contracts.blocks import text_of
from orchestrator_http.schemas.common import Body
from orchestrator_http.schemas.openai import MAX_MESSAGES, MAX_TOOLS, ChatCompletionRequest

Item = dict[str, Any]


class TextOptions(Body):
    format: dict[str, Any] | None = None


class ResponsesRequest(Body):
    model: Annotated[str, Field(max_length=500)] | None = None
    input: AnyText | Annotated[list[Item], Field(max_length=MAX_MESSAGES)]
    instructions: AnyText | None = None
    previous_response_id: Annotated[str, Field(max_length=200)] | None = None
    tools: Annotated[list[Item], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | Item | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: TextOptions | None = None
    stream: bool | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    background: bool | None = None
    conversation: str | Item | None = None


def messages_of(body: ResponsesRequest, before: list[Item]) -> list[Item]:
    """The conversation as OpenAI's chat messages, without the instructions, which are of one answer only.

    Args:
        before: those of the response that is continued.

    Raises:
        InvalidRequest: an item cannot be used.
    """
    messages = list(before)
    items = [{"role": "user", "content": body.input}] if isinstance(body.input, str) else body.input
    for item in items:
        match item.get("type", "message"):
            case "message":
                messages.append({"role": item.get("role"), "content": _text(item.get("content"))})
            case "function_call":
                function = {"name": item.get("name"), "arguments": item.get("arguments")}
                call = {"id": item.get("call_id"), "type": "function", "function": function}
                last = messages[-1] if messages else {}
                if last.get("role") == "assistant":
                    messages[-1] = {**last, "tool_calls": [*last.get("tool_calls", ()), call]}
                else:
                    messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
            case "function_call_output":
                content = _text(item.get("output"))
                messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
            case "reasoning":
                continue
            case other:
                raise InvalidRequest(
                    f"Items of the type {str(other)[:40]!r} cannot be used here.", param="input"
                )
    return messages


def as_chat(body: ResponsesRequest, messages: list[Item]) -> ChatCompletionRequest:
    """
    Args:
        messages: see `messages_of`.

    Raises:
        InvalidRequest, pydantic.ValidationError: something in it cannot be used.
    """
    if body.background:
        raise InvalidRequest(
            "The field 'background' is not supported: answers are given at once.", param="background"
        )
    instructions = [{"role": "system", "content": body.instructions}] if body.instructions else []
    chat: dict[str, Any] = {
        "model": body.model,
        "messages": [*instructions, *messages],
        "max_completion_tokens": body.max_output_tokens,
        **{name: getattr(body, name) for name in ("temperature", "top_p", "stream", "metadata")},
        "parallel_tool_calls": body.parallel_tool_calls,
    }
    if body.tools:
        chat["tools"] = [_tool(tool) for tool in body.tools]
    choice = body.tool_choice
    if isinstance(choice, dict):
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    chat["tool_choice"] = choice
    form = (body.text.format if body.text else None) or {}
    if form.get("type") == "json_schema":
        schema = {"name": form.get("name") or "answer", "schema": form.get("schema")}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form:
        chat["response_format"] = form
    return ChatCompletionRequest.model_validate(chat)


def said(output: Iterable[Item]) -> list[Item]:
    """What an answer adds to its conversation, as chat messages."""
    text = "".join(part["text"] for item in output if item["type"] == "message" for part in item["content"])
    calls = [
        {
            "id": item["call_id"],
            "type": "function",
            "function": {"name": item["name"], "arguments": item["arguments"]},
        }
        for item in output
        if item["type"] == "function_call"
    ]
    return [{"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}]


class ResponseWriter:
    """Tells one answer as a response object or as the events of a stream.

    Args:
        body: the request, of which a response repeats much.
    """

    def __init__(self, body: ResponsesRequest, run_id: str, model: str) -> None:
        self.response_id = f"resp_{run_id}"
        self._run_id = run_id
        self._base: Item = {
            "id": self.response_id,
            "object": "response",
            "created_at": int(time.time()),
            "model": model,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "store": body.store is not False,
            "temperature": body.temperature,
            "text": {"format": (body.text.format if body.text else None) or {"type": "text"}},
            "tool_choice": body.tool_choice or "auto",
            "tools": body.tools or [],
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": None,
        }
        self._output: list[Item] = []
        self._sequence = 0

    def whole(self, found: Collected) -> Item:
        if found.thinking:
            self._output.append(self._reasoning(found.thinking))
        if found.text or not found.calls:
            self._output.append(self._message(found.text, "completed"))
        for call in found.calls:
            self._output.append(self._call(call["id"], call["name"], call["arguments"], "completed"))
        return self._response(found.reason, found.usage)

    def events(self, deltas: Iterable[Delta]) -> Iterator[tuple[bytes, Item | None]]:
        """Frames; with the last one the whole response."""
        started = {"response": {**self._base, "status": "in_progress", "output": []}}
        yield self._event("response.created", started), None
        yield self._event("response.in_progress", started), None
        thinking = ""
        for delta in deltas:
            if thinking and not isinstance(delta, Thinking | None):
                yield from self._frames(self._thought(thinking))
                thinking = ""
            match delta:
                case None:
                    yield sse.PING, None
                case Thinking(text):
                    thinking += text
                case Text(text):
                    yield from self._frames(self._added_text(text))
                case CallBegins(_, call_id, name):
                    yield from self._frames([*self._closed(), *self._begun_call(call_id, name)])
                case CallArguments(_, text):
                    item = self._output[-1]
                    item["arguments"] += text
                    yield self._at("response.function_call_arguments.delta", delta=text), None
                case Finished(reason, usage):
                    status = "incomplete" if reason == "length" else "completed"
                    yield from self._frames(self._closed(status))
                    response = self._response(reason, usage)
                    yield self._event(f"response.{response['status']}", {"response": response}), response

    def _frames(self, frames: Iterable[bytes]) -> Iterator[tuple[bytes, None]]:
        return ((frame, None) for frame in frames)

    def _added_text(self, text: str) -> Iterator[bytes]:
        if not self._output or self._output[-1]["type"] != "message":
            yield from self._closed()
            item = self._message("", "in_progress")
            self._output.append(item)
            bare = {**item, "content": []}
            yield self._event("response.output_item.added", {"output_index": self._index, "item": bare})
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            yield self._at("response.content_part.added", content_index=0, part=part)
        self._output[-1]["content"][0]["text"] += text
        yield self._at("response.output_text.delta", content_index=0, delta=text, logprobs=[])

    def _thought(self, text: str) -> Iterator[bytes]:
        item = self._reasoning(text)
        self._output.append(item)
        for name in ("response.output_item.added", "response.output_item.done"):
            yield self._event(name, {"output_index": self._index, "item": item})

    def _begun_call(self, call_id: str, name: str) -> Iterator[bytes]:
        item = self._call(call_id, name, "", "in_progress")
        self._output.append(item)
        yield self._event("response.output_item.added", {"output_index": self._index, "item": dict(item)})

    def _closed(self, status: str = "completed") -> Iterator[bytes]:
        """The end of the item that is being told."""
        if not self._output or self._output[-1]["status"] != "in_progress":
            return
        item = self._output[-1]
        item["status"] = status
        if item["type"] == "message":
            part = item["content"][0]
            yield self._at("response.output_text.done", content_index=0, text=part["text"], logprobs=[])
            yield self._at("response.content_part.done", content_index=0, part=part)
        else:
            done = {"arguments": item["arguments"], "name": item["name"]}
            yield self._at("response.function_call_arguments.done", **done)
        yield self._event("response.output_item.done", {"output_index": self._index, "item": item})

    @property
    def _index(self) -> int:
        return len(self._output) - 1

    def _at(self, name: str, /, **fields: Any) -> bytes:
        place = {"item_id": self._output[-1]["id"], "output_index": self._index}
        return self._event(name, {**place, **fields})

    def _event(self, name: str, fields: Item) -> bytes:
        self._sequence += 1
        return sse.frame({"type": name, "sequence_number": self._sequence - 1, **fields}, event=name)

    def _message(self, text: str, status: str) -> Item:
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        item = {"id": f"msg_{self._run_id}", "type": "message", "role": "assistant"}
        return {**item, "status": status, "content": [part]}

    def _reasoning(self, text: str) -> Item:
        summary = [{"type": "summary_text", "text": text}]
        return {"id": f"rs_{self._run_id}", "type": "reasoning", "status": "completed", "summary": summary}

    def _call(self, call_id: str, name: str, arguments: str, status: str) -> Item:
        item = {"id": f"fc_{call_id}", "type": "function_call", "status": status}
        return {**item, "call_id": call_id, "name": name, "arguments": arguments}

    def _response(self, reason: str, usage: dict[str, int]) -> Item:
        prompt, completion = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
        cut = reason == "length"
        return {
            **self._base,
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": self._output,
            "usage": {
                "input_tokens": prompt,
                "input_tokens_details": {"cached_tokens": usage.get("cached_tokens", 0)},
                "output_tokens": completion,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": prompt + completion,
            },
        }


def _text(content: Any) -> str:
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    return "".join(text_of(part) for part in content)


def _tool(tool: Item) -> Item:
    if tool.get("type") != "function":
        raise InvalidRequest(
            f"Tools of the type {str(tool.get('type'))[:40]!r} run at OpenAI's and cannot be used here.",
            param="tools",
        )
    function = {name: tool.get(name) for name in ("name", "description", "parameters")}
    return {"type": "function", "function": function}

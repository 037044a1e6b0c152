"""Ollama's API: requests, and answers as lines of JSON. Its errors are a text; its streams are the default."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from orchestrator_core.chat_request import Text as AnyText
from orchestrator_core.errors import InvalidRequest
from pydantic import Field

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
from orchestrator_http.schemas.common import Body
from orchestrator_http.schemas.openai import MAX_MESSAGES, MAX_TOOLS, ChatCompletionRequest

NDJSON = "application/x-ndjson"
API_VERSION = "0.12.6"
"""The version of Ollama whose API is spoken; clients ask for at least some version."""

OPTIONS = {
    "num_predict": "max_tokens",
    "repeat_penalty": "repetition_penalty",
    **{name: name for name in ("temperature", "top_p", "top_k", "min_p", "seed", "stop")},
    **{name: name for name in ("presence_penalty", "frequency_penalty")},
}
"""Options that have a meaning here, with their names in OpenAI's requests. Those of loading have none."""

ModelName = Annotated[str, Field(max_length=500)]
TEXT_ONLY = "this model takes no images, only text"


class OllamaMessage(Body):
    REFUSED: ClassVar = {"images": TEXT_ONLY}
    role: Literal["system", "user", "assistant", "tool"]
    content: AnyText = ""
    tool_calls: Annotated[list[dict[str, Any]], Field(max_length=MAX_TOOLS)] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class OllamaRequest(Body):
    model: ModelName
    format: Literal["", "json"] | dict[str, Any] | None = None
    options: dict[str, Any] | None = None
    stream: bool | None = None


class OllamaChat(OllamaRequest):
    messages: Annotated[list[OllamaMessage], Field(max_length=MAX_MESSAGES)] = Field(default_factory=list)
    tools: Annotated[list[dict[str, Any]], Field(max_length=MAX_TOOLS)] | None = None


class OllamaGenerate(OllamaRequest):
    REFUSED: ClassVar = {
        "images": TEXT_ONLY,
        "template": "a model is shown its conversation by its own template",
        "context": "send the messages to /api/chat instead",
    }
    prompt: AnyText = ""
    suffix: AnyText | None = None
    system: AnyText | None = None
    raw: bool | None = None


class OllamaShow(Body):
    model: ModelName | None = None
    name: ModelName | None = None


class OllamaEmbed(Body):
    model: ModelName
    input: Any = None
    prompt: AnyText | None = None
    dimensions: int | None = None


def chat_as_chat(body: OllamaChat) -> ChatCompletionRequest:
    """
    Raises:
        InvalidRequest, pydantic.ValidationError: something in it cannot be used.
    """
    messages: list[dict[str, Any]] = []
    waiting: list[str] = []
    for number, message in enumerate(body.messages):
        said: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            calls = [_call(call, f"call{number}{at}") for at, call in enumerate(message.tool_calls)]
            said["tool_calls"], waiting = calls, [call["id"] for call in calls]
        if message.role == "tool":
            # Ollama's results follow their calls in order, without an id.
            said["tool_call_id"] = message.tool_call_id or (waiting.pop(0) if waiting else f"call{number}")
            said["name"] = message.tool_name
        messages.append(said)
    return _chat(body, messages, tools=body.tools)


def generate_as_chat(body: OllamaGenerate) -> ChatCompletionRequest:
    """
    Raises:
        InvalidRequest, pydantic.ValidationError: something in it cannot be used.
    """
    system = [{"role": "system", "content": body.system}] if body.system else []
    return _chat(body, [*system, {"role": "user", "content": body.prompt}])


def raw_prompt(body: OllamaGenerate) -> str:
    """The prompt of a request with `raw` or `suffix`.

    Raises:
        InvalidRequest: something cannot be had beside a prompt that is sent as it stands.
    """
    for name in ("system", "format"):
        if getattr(body, name):
            raise InvalidRequest(
                f"With raw or suffix, the prompt is sent as it stands: there is no place for {name!r}.",
                hint="Leave one of the two out.",
                param=name,
            )
    return body.prompt


@dataclass
class OllamaWriter:
    """Tells one answer in Ollama's words.

    Args:
        chat: as of `/api/chat`; else of `/api/generate`.
    """

    model: str
    chat: bool
    began: float = field(default_factory=time.perf_counter)

    def whole(self, found: Collected) -> dict[str, Any]:
        calls = [_told_call(call["name"], call["arguments"]) for call in found.calls]
        return self._said(found.text, calls, found.thinking) | self._end(found.reason, found.usage)

    def loaded(self) -> dict[str, Any]:
        """Of a request that only wants the model to be loaded."""
        return self._said("") | {"done": True, "done_reason": "load"}

    def lines(self, deltas: Iterable[Delta]) -> Iterator[bytes]:
        name, arguments = "", ""
        for delta in deltas:
            match delta:
                case Text(text):
                    yield line(self._said(text) | {"done": False})
                case Thinking(text):
                    yield line(self._said("", thinking=text) | {"done": False})
                case CallBegins(_, _, following):
                    if name:
                        yield self._call_line(name, arguments)
                    name, arguments = following, ""
                case CallArguments(_, text):
                    arguments += text
                case Finished(reason, usage):
                    if name and reason == "tool_calls":
                        yield self._call_line(name, arguments)
                    yield line(self._said("") | self._end(reason, usage))

    def _call_line(self, name: str, arguments: str) -> bytes:
        return line(self._said("", [_told_call(name, arguments)]) | {"done": False})

    def _said(
        self, text: str, calls: list[dict[str, Any]] | None = None, thinking: str = ""
    ) -> dict[str, Any]:
        head = {"model": self.model, "created_at": datetime.now(UTC).isoformat()}
        thought = {"thinking": thinking} if thinking else {}
        if not self.chat:
            return {**head, "response": text, **thought}
        called = {"tool_calls": calls} if calls else {}
        return {**head, "message": {"role": "assistant", "content": text, **thought, **called}}

    def _end(self, reason: str, usage: dict[str, int]) -> dict[str, Any]:
        took = int((time.perf_counter() - self.began) * 1e9)
        return {
            "done": True,
            "done_reason": "length" if reason == "length" else "stop",
            "total_duration": took,
            "load_duration": 0,
            "prompt_eval_count": usage.get("prompt_tokens", 0),
            "prompt_eval_duration": 0,
            "eval_count": usage.get("completion_tokens", 0),
            "eval_duration": took,
        }


def line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _chat(body: OllamaRequest, messages: list[dict[str, Any]], **fields: Any) -> ChatCompletionRequest:
    chat: dict[str, Any] = {"model": body.model, "messages": messages, **fields}
    for name, value in (body.options or {}).items():
        if name in OPTIONS and value is not None:
            chat[OPTIONS[name]] = value
    if chat.get("max_tokens") == -2:  # Ollama's word for "what the window leaves"
        chat["max_tokens"] = -1
    chat["stream"] = body.stream is not False
    if body.format == "json":
        chat["response_format"] = {"type": "json_object"}
    elif body.format:
        chat["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": body.format},
        }
    return ChatCompletionRequest.model_validate(chat)


def _call(call: dict[str, Any], call_id: str) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments") or {}
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"id": call.get("id") or call_id, "function": {"name": function.get("name"), "arguments": text}}


def _told_call(name: str, arguments: str) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": read_json(arguments)}}

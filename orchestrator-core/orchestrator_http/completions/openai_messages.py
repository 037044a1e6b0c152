"""OpenAI's request fields in our own words: messages, sampling, tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator_core.errors import InvalidRequest
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role

from orchestrator_http.completions.json_schemas import check_schema
from orchestrator_http.completions.tools import Toolbox
from orchestrator_http.schemas.openai import (
    AnyMessage,
    AssistantMessage,
    ChatCompletionRequest,
    Content,
    ObjectFormat,
    SchemaFormat,
    ToolChoice,
    ToolMessage,
)

_ROLES = {"developer": Role.SYSTEM}


def chat_messages(messages: Sequence[AnyMessage]) -> list[ChatMessage]:
    """The messages as the prompt builder takes them; parts of one message are joined."""
    return [_message(message) for message in messages]


def answer_begun(messages: Sequence[ChatMessage]) -> tuple[Sequence[ChatMessage], str]:
    """The messages to answer, and the beginning of that answer.

    A last message of the assistant's is continued (an assistant prefill), unless it calls tools.
    """
    *before, last = messages
    if not before or last.role is not Role.ASSISTANT or last.tool_calls:
        return messages, ""
    return before, last.content


def chat_config(body: ChatCompletionRequest, defaults: GenerationConfig) -> GenerationConfig:
    """Sampling and limits, and the schema of `response_format`.

    Raises:
        InvalidRequest: the schema is none.
    """
    fields: dict[str, Any] = {}
    if body.max_completion_tokens is not None:
        fields["max_new_tokens"] = body.max_completion_tokens
    schema = _response_schema(body)
    if schema is not None:
        # A stop text inside a string would cut the JSON, which has an end of its own.
        fields |= {"json_schema": schema, "grammar": None, "stop": []}
    return body.generation(defaults).having(fields)


def toolbox(body: ChatCompletionRequest) -> Toolbox | None:
    """The tools the model is shown; None where there are none or it must not call any.

    Raises:
        InvalidRequest: a tool is chosen that is not there, or one has no valid schema.
    """
    if body.tool_choice == "none" or not body.tools:
        if body.tool_choice not in (None, "none", "auto"):
            raise InvalidRequest("tool_choice asks for a tool, but there are no tools.", param="tool_choice")
        return None
    box = Toolbox([tool.model_dump(exclude_none=True) for tool in body.tools])
    only = forced_tool(body)
    if only and only not in box.names:
        raise InvalidRequest(
            f"tool_choice names {only!r}, which is not among the tools: {', '.join(box.names)}.",
            param="tool_choice",
        )
    return box


def forced_tool(body: ChatCompletionRequest) -> str | None:
    """The tool that must be called; "" for any of them; None when the model chooses."""
    if isinstance(body.tool_choice, ToolChoice):
        return body.tool_choice.function.name
    return "" if body.tool_choice == "required" else None


def _message(message: AnyMessage) -> ChatMessage:
    return ChatMessage(
        role=_ROLES.get(message.role) or Role(message.role),
        content=_text(message.content),
        tool_calls=_tool_calls(message),
        tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
        name=message.name,
        reasoning=(message.reasoning_content or "") if isinstance(message, AssistantMessage) else "",
    )


def _tool_calls(message: AnyMessage) -> tuple[dict[str, Any], ...]:
    if not isinstance(message, AssistantMessage):
        return ()
    return tuple(call.model_dump() for call in message.tool_calls or ())


def _text(content: Content | None) -> str:
    if content is None:
        return ""
    return content if isinstance(content, str) else "".join(part.text for part in content)


def _response_schema(body: ChatCompletionRequest) -> dict[str, Any] | None:
    match body.response_format:
        case ObjectFormat(schema_=schema):
            name = "response_format.schema"
        case SchemaFormat(json_schema=fields):
            schema, name = fields.schema_, "response_format.json_schema.schema"
        case _:
            schema, name = body.json_schema, "json_schema"
            if schema is None:
                return None
    if schema is None:
        return {"type": "object"}
    check_schema(schema, f"The fields of {name}", name.partition(".")[0])
    return schema

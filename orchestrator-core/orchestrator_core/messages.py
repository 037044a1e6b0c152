"""The messages a model is shown: roles and text, nothing about storage."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """Who speaks. The values are the words every chat API uses."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a prompt.

    Args:
        role: who speaks.
        content: the text; empty only for an assistant message that calls tools.
        tool_calls: OpenAI-shaped tool calls of an assistant message.
        tool_call_id: the call a tool message answers.
        name: name of the tool or speaker, where the API carries one.
        reasoning: what the model thought before this message, where the client sent it back.
    """

    role: Role
    content: str
    tool_calls: tuple[dict[str, Any], ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The OpenAI wire shape, without absent fields; what chat templates expect."""
        out: dict[str, Any] = {"role": self.role.value, "content": self.content}
        if self.tool_calls:
            out["tool_calls"] = list(self.tool_calls)
        if self.tool_call_id is not None:
            out["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            out["name"] = self.name
        if self.reasoning:
            out["reasoning_content"] = self.reasoning
        return out

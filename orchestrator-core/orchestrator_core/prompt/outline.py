"""A conversation in which every text is one unmistakable word, to see what a template does with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator_core.messages import ChatMessage, Role

_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "Wtool",
        "description": "Wdescription",
        "parameters": {"type": "object", "properties": {}},
    },
}


@dataclass(frozen=True, slots=True)
class Outline:
    """
    Args:
        messages, tools: the conversation in words; roles, ids and what is empty are the real ones.
        owners: the words that must come out, and whose they are. Not asked for: an answer's text beside
            its calls, and thoughts; models are trained without them.
        key: equal for conversations of one outline.
    """

    messages: tuple[ChatMessage, ...]
    tools: tuple[dict[str, Any], ...]
    owners: dict[str, str]
    key: str

    @classmethod
    def of(cls, messages: Sequence[ChatMessage], tools: Sequence[dict[str, Any]]) -> Outline:
        owners = {"Wtool": "the tools"} if tools else {}
        outlined = tuple(_outlined(message, number, owners) for number, message in enumerate(messages))
        key = json.dumps([[message.as_dict() for message in outlined], bool(tools)])
        return cls(outlined, (_TOOL,) if tools else (), owners, key)

    def missing(self, text: str) -> str:
        """What a rendered text leaves out, or puts where it would move from turn to turn; "" if nothing."""
        for word, owner in self.owners.items():
            if word not in text:
                return owner
        user = next((m.content for m in self.messages if m.role is Role.USER), "")
        first = self.messages[0] if self.messages else None
        if user and first and first.role is Role.SYSTEM and text.find(first.content) > text.find(user):
            return "the first place of the system text"
        return ""


def _outlined(message: ChatMessage, number: int, owners: dict[str, str]) -> ChatMessage:
    """The message in words, which are added to `owners`."""
    word = f"W{number:05}W" if message.content.strip() else ""
    if word and not message.tool_calls:
        owners[word] = f"the {message.role.value} text"
    calls = []
    for place, call in enumerate(message.tool_calls):
        name, argument = f"C{number:05}N{place}C", f"C{number:05}A{place}C"
        owners[name] = owners[argument] = "a call"
        calls.append({**call, "function": {"name": name, "arguments": json.dumps({"key": argument})}})
    return replace(message, content=word, tool_calls=tuple(calls), reasoning="")

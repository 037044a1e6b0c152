"""What tests send through the official `openai` package, and what it makes of the answer."""

from __future__ import annotations

from typing import Any

KEY = "sk-the-owners"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}
CALL = '{"name": "weather", "arguments": {"city": "Wien"}}'
HELLO = [{"role": "user", "content": "Hello"}]


def added_up(stream: Any) -> tuple[str, list[dict[str, Any]], str | None]:
    """What a client makes of streamed tool calls."""
    calls: dict[int, dict[str, Any]] = {}
    reason: str | None = None
    content = ""
    for chunk in stream:
        choice = chunk.choices[0]
        content += choice.delta.content or ""
        for part in choice.delta.tool_calls or ():
            call = calls.setdefault(part.index, {"name": "", "arguments": ""})
            call["id"] = part.id or call.get("id")
            call["name"] += part.function.name or ""
            call["arguments"] += part.function.arguments or ""
        reason = choice.finish_reason or reason
    return content, list(calls.values()), reason

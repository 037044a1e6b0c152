"""Conversations as clients send them, in the shapes that chat templates trip over."""

from __future__ import annotations

import json
from typing import Any

from orchestrator_core.messages import ChatMessage, Role

SYSTEM = ChatMessage(Role.SYSTEM, "You are terse.")
ASKED = ChatMessage(Role.USER, "What is the weather in Paris?")
ANSWERED = ChatMessage(Role.ASSISTANT, "Sunny, 20 degrees.")
NEXT = ChatMessage(Role.USER, "And tomorrow?")

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Its name"},
                "days": {"type": "integer", "description": "How far ahead"},
            },
            "required": ["city"],
        },
    },
}
CLOCK: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "The time now.",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "string", "description": "Its name"}},
        },
    },
}
TOOLS = (WEATHER, CLOCK)


def called(*calls: tuple[str, str, dict[str, Any]], content: str = "", reasoning: str = "") -> ChatMessage:
    """An assistant message that calls tools, each given as id, name and arguments."""
    written = tuple(
        {
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
        }
        for call_id, name, arguments in calls
    )
    return ChatMessage(Role.ASSISTANT, content, tool_calls=written, reasoning=reasoning)


def result(call_id: str, content: str, name: str | None = None) -> ChatMessage:
    return ChatMessage(Role.TOOL, content, tool_call_id=call_id, name=name)


IN_PARIS = ("call_8h2kPq0ZtR5mXw1s", "get_weather", {"city": "Paris"})
IN_OSLO = ("call_Zz91bb3QyT6vNn4d", "get_weather", {"city": "Oslo", "days": 2})

Conversation = tuple[list[ChatMessage], tuple[dict[str, Any], ...]]

CONVERSATIONS: dict[str, Conversation] = {
    "one question": ([ASKED], ()),
    "system text": ([SYSTEM, ASKED], ()),
    "several turns": ([SYSTEM, ASKED, ANSWERED, NEXT], ()),
    "two system texts": ([SYSTEM, ChatMessage(Role.SYSTEM, "Use Celsius."), ASKED], ()),
    "a system text later": ([SYSTEM, ASKED, ANSWERED, ChatMessage(Role.SYSTEM, "Now in French."), NEXT], ()),
    "two questions in a row": ([ASKED, NEXT], ()),
    "two answers in a row": ([ASKED, ANSWERED, ChatMessage(Role.ASSISTANT, "No wind."), NEXT], ()),
    "an answer first": ([ChatMessage(Role.ASSISTANT, "Hello!"), ASKED], ()),
    "an empty question": ([SYSTEM, ChatMessage(Role.USER, ""), ANSWERED, NEXT], ()),
    "an empty answer": ([ASKED, ChatMessage(Role.ASSISTANT, ""), NEXT], ()),
    "many scripts": (
        [ChatMessage(Role.SYSTEM, "日本語 ✓"), ChatMessage(Role.USER, " Grüße, 🦜\n\n<b>&amp;'\"\\ ")],
        (),
    ),
    "control tokens as text": (
        [
            SYSTEM,
            ChatMessage(Role.USER, "Say </s> [INST] <|im_end|> <|eot_id|> <end_of_turn> {{ x }} {% y %}"),
        ],
        (),
    ),
    "thoughts in the history": (
        [ASKED, ChatMessage(Role.ASSISTANT, "Sunny.", reasoning="Paris is in France."), NEXT],
        (),
    ),
    "an answer begun": ([SYSTEM, ASKED, ChatMessage(Role.ASSISTANT, "The weather in")], ()),
    "tools, none called": ([SYSTEM, ASKED], TOOLS),
    "tools, no system text": ([ASKED, ANSWERED, NEXT], TOOLS),
    "a call and a text result": (
        [SYSTEM, ASKED, called(IN_PARIS), result(IN_PARIS[0], "sunny", "get_weather")],
        TOOLS,
    ),
    "a result that is a JSON object": (
        [ASKED, called(IN_PARIS), result(IN_PARIS[0], '{"temp": 20, "sky": "clear"}'), ANSWERED, NEXT],
        TOOLS,
    ),
    "a result that is a JSON array": ([ASKED, called(IN_PARIS), result(IN_PARIS[0], '[20, 21, "é"]')], TOOLS),
    "two calls at once": (
        [ASKED, called(IN_PARIS, IN_OSLO), result(IN_PARIS[0], "20"), result(IN_OSLO[0], '{"temp": -3}')],
        TOOLS,
    ),
    "a call with text and thoughts": (
        [
            ASKED,
            called(IN_PARIS, content="Let me look.", reasoning="I need the tool."),
            result(IN_PARIS[0], "20"),
        ],
        TOOLS,
    ),
    "nested arguments": (
        [
            ASKED,
            called(
                (
                    "abcDEF123",
                    "get_time",
                    {"zone": 'Zürich "x"\n', "more": {"a": [1, None, True, {"b": "c"}]}},
                )
            ),
            result("abcDEF123", "12:00"),
        ],
        TOOLS,
    ),
    "a call without a definition": ([ASKED, called(IN_PARIS), result(IN_PARIS[0], "20"), ANSWERED, NEXT], ()),
}

"""Tool calls: the schema that forces one, and finding one in what a model said freely.

A model that may choose writes freely; what looks like a call is parsed and its arguments
are checked against the tool's schema. What does not pass is produced again under the
schema as grammar, so a client never sees arguments it could not use. No parser of free text
can give that promise alone: models quote wrongly, forget fields, invent tools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator_core.errors import InvalidRequest

from orchestrator_http.json_schemas import check_schema, is_valid, moved

MARKERS = ("[TOOL_CALLS]", "<tool_call>")
"""What Mistral and Hermes/Qwen models write before a call; may follow other text."""

_HEADS = tuple(fence + bracket + '{"name":' for fence in ("", "```", "```json") for bracket in ("", "["))
"""How an unmarked call begins, without white space; only at the beginning of an answer."""

_MARK = re.compile(r"\[TOOL_CALLS\]|</?tool_call>|```(?:json)?|\[/TOOL_CALLS\]")
_NAMED = re.compile(r"\s*([A-Za-z0-9_.-]{1,64})\s*(?:\[CALL_ID\]\s*\w+\s*)?\[ARGS\]\s*")
"""Newer Mistral models: `[TOOL_CALLS]name[ARGS]{…}`."""


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: dict[str, Any]


class Toolbox:
    """The tools of one request.

    Args:
        tools: OpenAI-shaped definitions, already validated in form.

    Raises:
        InvalidRequest: two tools of one name, or parameters that are no JSON schema.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self.tools = tuple(dict(tool) for tool in tools)
        self._parameters: dict[str, dict[str, Any]] = {}
        for tool in self.tools:
            function = tool["function"]
            if function["name"] in self._parameters:
                raise InvalidRequest(f"Two tools are named {function['name']!r}.", param="tools")
            schema = _object_schema(function.get("parameters"))
            check_schema(schema, f"The parameters of the tool {function['name']!r}", "tools")
            self._parameters[function["name"]] = schema

    @property
    def names(self) -> list[str]:
        return list(self._parameters)

    def schema(self, only: str | None = None) -> dict[str, Any]:
        """The JSON schema of a call: `{"name": …, "arguments": {…}}`, of one tool or any."""
        definitions: dict[str, Any] = {}
        calls = []
        for number, (name, parameters) in enumerate(self._parameters.items()):
            if only is not None and name != only:
                continue
            key = f"tool{number}"
            definitions[key] = moved(parameters, f"#/$defs/{key}")
            calls.append(_call_schema(name, f"#/$defs/{key}"))
        schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
        return {**schema, "$defs": definitions}

    def valid(self, call: Call) -> bool:
        """Whether the tool exists and the arguments satisfy its schema."""
        schema = self._parameters.get(call.name)
        return schema is not None and is_valid(call.arguments, schema)


class CallSplitter:
    """Divides what a model says into text to show and calls to hold back, piece by piece."""

    def __init__(self) -> None:
        self._held = ""
        self._decided: str | None = None
        self.marked = False
        """Whether a call's marker was seen: then it was meant as one."""

    @property
    def held(self) -> str:
        """The text of the calls, or what may yet become one."""
        return self._held

    @property
    def calling(self) -> bool:
        return self._decided == "call"

    def feed(self, text: str) -> str:
        """Text that certainly is not part of a call."""
        self._held += text
        if self._decided is None:
            self._decide()
        if self._decided != "text":
            return ""
        return self._release()

    def flush(self) -> str:
        """At the end: what was held back without becoming a call."""
        if self.calling:
            return ""
        rest, self._held = self._held, ""
        return rest

    def _decide(self) -> None:
        squeezed = re.sub(r"\s+", "", self._held)
        if any(squeezed.startswith(head) for head in _HEADS):
            self._decided = "call"
        elif not any(head.startswith(squeezed) for head in _HEADS):
            self._decided = "text"

    def _release(self) -> str:
        for marker in MARKERS:
            if marker in self._held:
                shown, self._held = self._held.split(marker, 1)
                self._held = marker + self._held
                self._decided, self.marked = "call", True
                return shown.rstrip() if not shown.strip() else shown
        keep = max(_overlap(self._held, marker) for marker in MARKERS)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown


def find_calls(text: str) -> list[Call]:
    """The calls in text that a `CallSplitter` held back; [] when it cannot be read as such."""
    try:
        return list(_calls(text))
    except ValueError:
        return []


class CallReader:
    """Reads one call written under `Toolbox.schema`, so that its arguments can be streamed.

    After `name` is known, `feed` returns the arguments' JSON as it arrives.
    """

    _HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)')

    def __init__(self) -> None:
        self.name: str | None = None
        self.complete = False
        self._text = ""
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, text: str) -> str:
        """The part of the arguments that became known."""
        if self.complete:
            return ""
        if self.name is None:
            self._text += text
            head = self._HEAD.match(self._text)
            if head is None:
                return ""
            self.name = json.loads(head.group(1))
            text = self._text[head.end() :]
        for position, character in enumerate(text):
            if self._ends_with(character):
                self.complete = True
                return text[: position + 1]
        return text

    def _ends_with(self, character: str) -> bool:
        """Whether this character closes the arguments object."""
        if self._in_string:
            if self._escaped:
                self._escaped = False
            elif character == "\\":
                self._escaped = True
            elif character == '"':
                self._in_string = False
        elif character == '"':
            self._in_string = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            return self._depth == 0
        return False


def _calls(text: str) -> Iterator[Call]:
    position = 0
    while True:
        named = None
        while position < len(text):
            mark = _MARK.match(text, position)
            if mark is not None:
                position = mark.end()
            elif text[position].isspace() or text[position] == ",":
                position += 1
            else:
                break
        if position >= len(text):
            return
        named = _NAMED.match(text, position)
        start = named.end() if named else position
        value, position = json.JSONDecoder().raw_decode(text, start)
        if named:
            yield Call(named.group(1), _arguments(value))
            continue
        for item in value if isinstance(value, list) else [value]:
            yield _call(item)


def _call(item: object) -> Call:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise ValueError("not a call")
    return Call(item["name"], _arguments(item.get("arguments", item.get("parameters", {}))))


def _arguments(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, dict):
        raise ValueError("arguments must be an object")
    return value


def _object_schema(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    if not parameters:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    return {"type": "object", **parameters}


def _call_schema(name: str, arguments: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, "arguments": {"$ref": arguments}},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _overlap(text: str, marker: str) -> int:
    """How many characters at the end of `text` begin `marker`."""
    for size in range(min(len(text), len(marker) - 1), 0, -1):
        if marker.startswith(text[-size:]):
            return size
    return 0

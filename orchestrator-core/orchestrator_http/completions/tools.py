"""The tools of a request: which arguments they take, and the schema that forces a call.

What a model writes freely is read by `orchestrator_core.text.answer_reader`; a call of a tool that
exists, whose arguments do not satisfy the tool's schema, is produced again under that schema, so a client never
sees arguments it could not use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator_core.errors import InvalidRequest
from orchestrator_core.text.call_parser import Call

from orchestrator_http.completions.json_schemas import check_schema, is_valid, moved


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
    def schemas(self) -> dict[str, dict[str, Any]]:
        """The JSON schema of the parameters of each tool, by its name."""
        return self._parameters

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

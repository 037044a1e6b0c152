"""Reads calls of known tools, in the forms a model writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator_core.text.answer_format import MARK, NAME_AGAIN, AnswerFormat, CallForm, Style, words_of
from orchestrator_core.text.call_values import (
    Incomplete,
    bare_value,
    json_value,
    known_name,
    literal,
    loaded,
    python_call,
    skip_space,
    typed,
)

MAX_BETWEEN = 160
"""Characters between a call's name and its arguments: ids, and words such as `json`."""

_FENCES = ("```json", "```")
_NAME_KEYS = ("name", "tool_name")
_ARGUMENT_KEYS = ("arguments", "parameters")
_FIRST_KEYS = (*_NAME_KEYS, "type", "function", "tool_call_id", "id")
"""Of JSON that may be a call without any mark."""

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: dict[str, Any]


Read = tuple[list[Call], int, list[str]]
"""Calls, the place after them, and literals that may close them there."""


class CallParser:
    """
    Args:
        form: how the model writes.
        tools: JSON schemas of the parameters, by name.
    """

    def __init__(self, form: AnswerFormat, tools: Mapping[str, Mapping[str, Any]]) -> None:
        self._tools = tools
        self._forms = form.calls
        self.marks = {mark for call_form in form.calls for mark in _marks(call_form)}
        """What calls begin with; one of these, or the beginning of an answer, is worth a look."""
        self._heads = tuple(f'{bracket}{{"{key}":' for bracket in ("", "[") for key in self._first_keys())

    def read(self, text: str, *, at_start: bool) -> Read:
        """The calls that stand at the beginning of the text.

        Args:
            at_start: nothing was said before: then calls need no mark.

        Raises:
            Incomplete, ValueError.
        """
        incomplete = False
        for form in self._forms:
            for begin in _beginnings(form, text) if form.open.strip() else [0] * at_start:
                try:
                    calls, end = self._read(form, text, begin)
                except Incomplete:
                    incomplete = True
                except (ValueError, RecursionError):
                    continue
                else:
                    return calls, end, form.closing()
        if at_start:
            try:
                return self._unmarked(text)
            except ValueError:
                pass
        if incomplete:
            raise Incomplete
        raise ValueError("no call")

    def addressed(self, text: str, end: int) -> tuple[Call, int] | None:
        """The call whose head, which ends at `end`, names a tool; None for any other head.

        Raises:
            Incomplete.
        """
        for form in self._forms:
            address = form.open.strip()
            place = text.find(address, 0, end) if form.style is Style.NAMED and address else -1
            if place < 0:
                continue
            try:
                name, _ = known_name(text[:end], place + len(address), self._tools)
                arguments, after = json_value(text, end)
                return Call(name, _as_object(arguments)), after
            except ValueError:
                continue
        return None

    def _read(self, form: CallForm, text: str, place: int) -> tuple[list[Call], int]:
        match form.style:
            case Style.JSON:
                value, end = json_value(text, place)
                return list(self._from_json(value, form)), end
            case Style.PYTHON:
                return self._python(text, place)
        name, place = known_name(text, place, self._tools)
        if form.style is Style.TAGGED:
            arguments, end = self._tagged(form, text, place, name)
        elif form.style is Style.BARE:
            value, end = bare_value(text, _brace(text, place, ""), form.quote)
            arguments = _as_object(value)
        else:
            value, end = json_value(text, _brace(text, place, form.between))
            arguments = _as_object(value)
        return [Call(name, arguments)], end

    def _python(self, text: str, place: int) -> tuple[list[Call], int]:
        calls = []
        while True:
            name, arguments, place = python_call(text, place, self._tools)
            calls.append(Call(name, arguments))
            after = skip_space(text, place)
            if text[after : after + 1] == "":
                raise Incomplete
            if text[after] != ",":
                return calls, place
            place = after + 1

    def _tagged(self, form: CallForm, text: str, place: int, name: str) -> tuple[dict[str, Any], int]:
        properties = self._tools[name].get("properties", {})
        place = literal(text, place, form.between.replace(NAME_AGAIN, name))
        arguments: dict[str, Any] = {}
        while True:
            try:
                place = literal(text, place, form.key_open)
            except ValueError:
                return arguments, literal(text, place, next(iter(form.closing()), ""))
            key, place = _up_to(text, place, form.key_close)
            value, place = _argument(form, text, place)
            arguments[key.strip()] = typed(value, properties.get(key.strip(), {}))

    def _unmarked(self, text: str) -> Read:
        """JSON with which an answer begins, perhaps in a code block, if all of it is calls."""
        place = skip_space(text, 0)
        if any(fence.startswith(text[place:]) for fence in _FENCES):
            raise Incomplete
        fence = next((fence for fence in _FENCES if text.startswith(fence, place)), "")
        place += len(fence)
        begin = _SPACE.sub("", text[place : place + MAX_BETWEEN])
        if not begin.startswith(self._heads):
            if any(head.startswith(begin) for head in self._heads):
                raise Incomplete
            raise ValueError("no call")
        value, end = json_value(text, place)
        return list(self._from_json(value, CallForm(Style.JSON))), end, ["```"] if fence else []

    def _first_keys(self) -> set[str]:
        learned = {form.name_key for form in self._forms if form.style is Style.JSON}
        return {*_FIRST_KEYS, *learned}

    def _from_json(self, value: object, form: CallForm) -> Iterator[Call]:
        """
        Raises:
            ValueError: not all of it is calls of known tools.
        """
        for item in value if isinstance(value, list) else [value]:
            yield self._call(item, form)

    def _call(self, item: Any, form: CallForm) -> Call:
        if not isinstance(item, dict):
            raise ValueError("no object")
        if isinstance(item.get("function"), dict):
            item = item["function"]
        if len(item) == 1 and next(iter(item)) in self._tools:
            ((name, arguments),) = item.items()
            return Call(name, _as_object(arguments))
        keys = (form.name_key, *_NAME_KEYS, "function")
        name = next((item[key] for key in keys if isinstance(item.get(key), str)), "")
        if name not in self._tools:
            raise ValueError("no known tool")
        places = (form.arguments_key, *_ARGUMENT_KEYS)
        return Call(name, _as_object(next((item[key] for key in places if key in item), {})))


def _marks(form: CallForm) -> set[str]:
    """What a call in this form may begin with: what opens the first, or each, or the last word of that."""
    words = form.open.split()
    return {mark for mark in (*MARK.findall(form.section)[:1], *words[:1], *words[-1:]) if mark}


def _beginnings(form: CallForm, text: str) -> Iterator[int]:
    """Where names may begin."""
    marks = MARK.findall(form.section)[:1]
    start = 0
    if marks and text.startswith(marks[0]):
        start = text.find(form.open.split()[0], len(marks[0]), MAX_BETWEEN)
        if start < 0:
            start = len(text)
    for opening in dict.fromkeys((form.open, form.open.split()[-1])):
        try:
            yield literal(text, start, opening)
        except ValueError:
            continue
        except Incomplete:
            yield len(text)


def _brace(text: str, place: int, mark: str) -> int:
    """Where the arguments' object begins: after `mark`, and not far from the name."""
    brace = text.find("{", place)
    between = text[place : brace if brace >= 0 else None]
    if len(between) > MAX_BETWEEN or (brace >= 0 and mark not in between):
        raise ValueError("no arguments")
    if brace < 0:
        raise Incomplete
    return brace


def _up_to(text: str, place: int, mark: str) -> tuple[str, int]:
    """The text before `mark`, and the place after it. In its middle may stand what is not always the same."""
    first, *rest = words_of(mark)
    stop = text.find(first, place)
    if stop < 0:
        raise Incomplete
    after = stop + len(first)
    if rest:
        last = rest[-1] if MARK.fullmatch(rest[-1]) else rest[-1][-1]
        end = text.find(last, after, after + MAX_BETWEEN)
        if end < 0:
            raise Incomplete if len(text) < after + MAX_BETWEEN else ValueError("no value")
        after = end + len(last)
    return text[place:stop], after


def _argument(form: CallForm, text: str, place: int) -> tuple[str, int]:
    """An argument's text: up to the mark after which another argument or the end of the call follows.

    The text may hold such marks itself. A line break that the form has between a mark and the text is no part of it.
    """
    following = (form.key_open.split()[0], next(iter(form.closing()), ""))
    begin = place
    while True:
        before, after = _up_to(text, place, form.value_close)
        stop = place + len(before)
        if _follows(text, after, following):
            break
        place = after
    begin += form.key_close.endswith("\n") and text.startswith("\n", begin, stop)
    stop -= form.value_close.startswith("\n") and text.endswith("\n", begin, stop)
    return text[begin:stop], after


def _follows(text: str, place: int, marks: tuple[str, ...]) -> bool:
    """Whether one of these comes next, after white space."""
    place = skip_space(text, place)
    if any(text.startswith(mark, place) for mark in marks):
        return True
    if any(mark.startswith(text[place:]) for mark in marks):
        raise Incomplete
    return False


def _as_object(value: Any) -> dict[str, Any]:
    value = loaded(value) if isinstance(value, str) else value
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("arguments are no object")
    return value

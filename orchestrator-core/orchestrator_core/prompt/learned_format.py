"""Learns from a model's chat template how the model writes calls and thoughts.

The template is shown an answer that calls a tool, with words for the name and the arguments that occur nowhere
else; what it writes around them is what the model was trained to write around its own. Models not known today
are read the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import reduce
from itertools import takewhile
from typing import Any

from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.text.answer_format import (
    HERMES,
    MARK,
    MISTRAL,
    NAME_AGAIN,
    AnswerFormat,
    CallForm,
    Style,
)
from orchestrator_core.text.call_values import Incomplete, json_value

NAME, KEY, TEXT, LATER_KEY, NUMBER = "Wname", "Wkey", "Wtext", "Wlater", 271828
SECOND, THOUGHT, ANSWER, QUESTION = "Wsecond", "Wthought", "Wanswer", "Wquestion"
_EDGE = re.compile(r"[\s>\]]")
_CALLING = re.compile(r"call|tool|python", re.IGNORECASE)

Render = Callable[[list[ChatMessage], list[dict[str, Any]], bool], str]
"""Messages, tools, and whether an answer is asked for, to text; "" where the template takes none of it."""


def learned_format(render: Render, control: Collection[str], source: str) -> AnswerFormat:
    """
    Args:
        control: the model's control tokens.
        source: the template; one that only takes thoughts out of answers names their marks.
    """
    question = ChatMessage(Role.USER, QUESTION)
    tools = _tools(NAME, SECOND)
    asked = _answer(render([question], [], True))
    plain = _answer(render([question, ChatMessage(Role.ASSISTANT, ANSWER)], [], False))
    thinking = _answer(render([question, ChatMessage(Role.ASSISTANT, ANSWER, reasoning=THOUGHT)], [], False))
    calling = _answer(render([question, _called(NAME)], tools, False))
    if not calling:
        calling, tools = _answer(render([question, _called(NAME)], [], False)), []
    thinking_call = _answer(render([question, replace(_called(NAME), reasoning=THOUGHT)], tools, False))
    befores = (asked, plain.partition(ANSWER)[0], thinking.partition(THOUGHT)[0], calling.partition(NAME)[0])
    if not asked or not plain:
        return AnswerFormat()
    head = reduce(common_beginning, filter(None, befores))
    if thinking[len(head) :].lstrip().startswith(THOUGHT):
        head = _without_last_mark(head)
    call = _call_form(calling[len(head) :], _answer(render([question, _called(NAME, SECOND)], tools, False)))
    content = plain.partition(ANSWER)[0][len(head) :]
    if THOUGHT in thinking:
        thought = _thought(thinking[len(head) :], content)
    elif THOUGHT in thinking_call and call:
        thought = _thought(thinking_call[len(head) :], calling[len(head) :].partition(NAME)[0])
    else:
        thought = _named_thought(source)
    call = call and replace(
        call, section=_after(call.section, thought[1]), open=_after(call.open, thought[1])
    )
    content = _after(content, thought[1]).strip()
    calls = (call,) if call else tuple(_after_tokens(control))
    calls += (HERMES, MISTRAL)
    literals = [*thought, content, *(text for form in calls for text in form.literals())]
    # Of all that stands in such answers: ids, say, are no part of what is learned.
    answers = [text[len(head) :] for text in (plain, thinking, calling, thinking_call)]
    used = {token for token in control for text in (*literals, *answers) if token and token in text}
    return AnswerFormat(calls, thought, content, tuple(sorted(used)))


def _after_tokens(control: Collection[str]) -> Iterator[CallForm]:
    """Where a template shows no calls: JSON or Python right after a control token that is there for calls."""
    for token in sorted(control):
        if _CALLING.search(token):
            yield CallForm(Style.JSON, token)
            yield CallForm(Style.PYTHON, token + "[")


def _without_last_mark(head: str) -> str:
    """A head without the mark with which it ends, such as `<think>`."""
    marks = list(MARK.finditer(head))
    return head[: marks[-1].start()] if marks and not head[marks[-1].end() :].strip() else head


def _after(text: str, mark: str) -> str:
    """The text after the last `mark` in it; all of it where there is none."""
    return text.rpartition(mark.strip())[2] if mark.strip() else text


def _thought(text: str, follows: str) -> tuple[str, str]:
    """What opens and closes thoughts.

    Args:
        text: an answer with thoughts.
        follows: what stands, in an answer without thoughts, where in this one thoughts are over.
    """
    before, _, rest = text.partition(THOUGHT)
    rest = rest.partition(ANSWER)[0].partition(NAME)[0]
    size = _same_end(rest, follows)
    close = rest[: len(rest) - size].strip()
    if not close and (mark := MARK.search(rest)):
        close = mark.group()
    return before.strip(), close


def _named_thought(source: str) -> tuple[str, str]:
    """The marks of thoughts that a template names, by that which closes them."""
    for mark in MARK.findall(source):
        if "think" in mark.lower() and mark[1] == "/":
            return mark.replace("/", "", 1), mark
    return AnswerFormat().thought


def _answer(text: str) -> str:
    """What follows the question."""
    return text.partition(QUESTION)[2]


def common_beginning(one: str, other: str) -> str:
    """What both begin with, up to the end of a word or mark."""
    same = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    if same in (one, other):
        return same
    edges = [edge.end() for edge in _EDGE.finditer(same)]
    return same[: edges[-1]] if edges else ""


def _called(*names: str) -> ChatMessage:
    arguments = json.dumps({KEY: TEXT, LATER_KEY: NUMBER})
    calls = tuple(
        {"id": f"call{number:05}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for number, name in enumerate(names)
    )
    return ChatMessage(Role.ASSISTANT, "", tool_calls=calls)


def _tools(*names: str) -> list[dict[str, Any]]:
    properties = {
        KEY: {"type": "string", "description": "-"},
        LATER_KEY: {"type": "integer", "description": "-"},
    }
    parameters = {"type": "object", "properties": properties}
    return [
        {"type": "function", "function": {"name": name, "description": "-", "parameters": parameters}}
        for name in names
    ]


def _call_form(text: str, two: str) -> CallForm | None:
    """
    Args:
        text: an answer with one call. two: the same with a second one.
    """
    if NAME not in text or TEXT not in text:
        return None
    form = _as_json(text) or _as_named(text) or _as_python(text) or _as_tagged(text)
    return form and _with_section(form, two)


def _as_json(text: str) -> CallForm | None:
    """The name and the arguments in one JSON value."""
    place = text.index(NAME)
    for start in (bracket.start() for bracket in re.finditer(r"[{\[]", text[:place])):
        try:
            value, end = json_value(text, start)
        except (ValueError, Incomplete):
            continue
        if not start < place < end or TEXT not in text[start:end]:
            continue
        holder = next(_holding(value), {})
        name_key = next((key for key, inner in holder.items() if inner == NAME), "name")
        arguments_key = next((key for key, inner in holder.items() if KEY in json.dumps(inner)), "arguments")
        return CallForm(
            Style.JSON, text[:start], close=text[end:], name_key=name_key, arguments_key=arguments_key
        )
    return None


def _holding(value: Any) -> Iterator[dict[str, Any]]:
    """The objects in which the name stands."""
    if isinstance(value, dict):
        if NAME in value.values():
            yield value
        for inner in value.values():
            yield from _holding(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _holding(inner)


def _as_named(text: str) -> CallForm | None:
    """The name, and later a JSON object."""
    before, _, rest = text.partition(NAME)
    brace = rest.find("{")
    if brace < 0:
        return None
    try:
        value, end = json_value(rest, brace)
    except (ValueError, Incomplete):
        quote = re.match(rf"\{{\s*{KEY}:\s*(\S*?){TEXT}", rest[brace:])
        if quote is None:
            return None
        close = rest[rest.rfind("}") + 1 :]
        return CallForm(Style.BARE, before, close=close, quote=quote.group(1) or '"')
    if not isinstance(value, dict) or KEY not in value:
        return None
    marks = MARK.findall(rest[:brace]) or rest[:brace].split()  # Ids may stand before the last one.
    return CallForm(Style.NAMED, before, between=(marks or [""])[-1], close=rest[end:])


def _as_python(text: str) -> CallForm | None:
    before, _, rest = text.partition(NAME)
    if not re.match(rf"\(\s*{KEY}\s*=", rest):
        return None
    return CallForm(Style.PYTHON, before, close=rest[rest.rfind(")") + 1 :])


def _as_tagged(text: str) -> CallForm | None:
    before, _, rest = text.partition(NAME)
    parts = re.split(f"{KEY}|{TEXT}|{LATER_KEY}|{NUMBER}", rest)
    if len(parts) != 5:
        return None
    name_end, key_close, between_arguments, later_close, last = parts
    size = _same_end(name_end, between_arguments)
    key_open = name_end[len(name_end) - size :]
    value_close = between_arguments[: len(between_arguments) - size]
    if not key_open.strip() or not value_close.strip():
        return None
    close = last[len(value_close) :] if last.startswith(value_close) else last
    del later_close
    return CallForm(
        Style.TAGGED,
        before,
        between=name_end[: len(name_end) - size].replace(NAME, NAME_AGAIN),
        close=close,
        key_open=key_open,
        key_close=key_close,
        value_close=value_close,
    )


def _same_end(one: str, other: str) -> int:
    """How many characters both end with, from the beginning of a word or mark on."""
    size = sum(
        1
        for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False))
    )
    begins = re.search(r"^\w|[<\[]|(?<=\s)\S", one[len(one) - size :]) if size else None
    return size - begins.start() if begins else 0


def _with_section(form: CallForm, two: str) -> CallForm:
    """The form with what stands before the first call only told apart from what stands before each."""
    place, opening = two.find(SECOND), form.open.strip()
    start = two.find(opening)
    if place < 0 or not opening or start < 0:
        return form
    before = two[start + len(opening) : two.index(NAME)].lstrip()  # Of JSON: its beginning.
    later = two[two.index(NAME) : place].removesuffix(before)
    size = _same_end(opening, later.rstrip() if form.open != form.open.rstrip() else later)
    each = opening[len(opening) - size :]
    if not each.strip() or size == len(opening):
        return form
    return replace(form, section=opening[: len(opening) - size], open=each)

"""Answers as a model's own template writes them into the history: what the model was trained to say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from orchestrator_core.backend import SpecialTokens
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.prompt.learned_format import common_beginning
from orchestrator_core.prompt.template import ChatTemplate
from orchestrator_core.text.answer_reader import AnswerReader, Part, Said, Thought
from support.conversations import TOOLS

_TOKEN = re.compile(r"<[|｜][^<>\s']+[|｜]>|<\w+\|>|<\|\w+>|\[/?[A-Z_]+\]|</?[\w:|]+>")
QUESTION = ChatMessage(Role.USER, "Qqquestion")
SCHEMAS = {tool["function"]["name"]: tool["function"]["parameters"] for tool in TOOLS}


def tokens_of(source: str) -> frozenset[str]:
    """What looks like a control token in a template."""
    return frozenset(_TOKEN.findall(source))


def template_of(source: str) -> ChatTemplate:
    """Of a model with these control tokens."""
    return ChatTemplate(source, SpecialTokens("<s>", "</s>", tokens_of(source), adds_bos=False))


def written(
    template: ChatTemplate, answer: ChatMessage, tools: Sequence[dict[str, Any]] = TOOLS
) -> tuple[str, bool]:
    """The answer with everything after it, and whether it begins within thoughts; "" if the template takes none."""
    asked = template.sample([QUESTION], tools, True).partition(QUESTION.content)[2]
    plain = template.sample([QUESTION, ChatMessage(Role.ASSISTANT, "Qqanswer")], tools, False)
    text = template.sample([QUESTION, answer], tools, False) or template.sample([QUESTION, answer], (), False)
    text = text.partition(QUESTION.content)[2]
    thinking = template.answer_format.begins_thinking(asked)
    if text.startswith(asked):
        return text[len(asked) :], thinking
    before = plain.partition(QUESTION.content)[2].partition("Qqanswer")[0]
    return text[len(reduce(common_beginning, (asked, before, text))) :], False


def read(
    template: ChatTemplate,
    text: str,
    size: int,
    *,
    thinking: bool = False,
    tools: Mapping[str, Any] = SCHEMAS,
) -> list[Part]:
    """The parts of an answer that arrives in pieces of this size; neighbours of one kind joined."""
    reader = AnswerReader(template.answer_format, tools, thinking=thinking)
    parts: list[Part] = []
    for start in range(0, len(text), size):
        parts += reader.feed(text[start : start + size])
    return joined([*parts, *reader.finish()])


def joined(parts: Sequence[Part]) -> list[Part]:
    out: list[Part] = []
    for part in parts:
        last = out[-1] if out else None
        if isinstance(part, Said | Thought) and type(last) is type(part):
            out[-1] = type(part)(last.text + part.text)
        else:
            out.append(part)
    return out

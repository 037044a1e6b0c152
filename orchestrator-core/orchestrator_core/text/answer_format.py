"""How a model writes what is not plain text: calls of tools, thoughts, and the heads of its messages.

    section? ( open NAME between ARGUMENTS close )+ section_close?

The literals are learned from the model's own template (`prompt.learned_format`); white space in them is
not significant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

MARK = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")
"""A tag or token within a literal."""

MOST_CLOSING = 6
NAME_AGAIN = "\0"


def words_of(literal: str) -> list[str]:
    """A literal's tags, tokens and words."""
    return re.findall(rf"{MARK.pattern}|[^\s<\[]+|[<\[]", literal)


class Style(StrEnum):
    """What stands for the name and the arguments."""

    JSON = "json"
    """One JSON value with both, or a list of them."""
    NAMED = "named"
    """The name, then the arguments as a JSON object."""
    TAGGED = "tagged"
    """The name, then each argument's name and value between literals."""
    PYTHON = "python"
    """`name(key="value")`, or a list of them."""
    BARE = "bare"
    """The name, then an object whose keys have no quotes and whose texts have special ones."""


@dataclass(frozen=True, slots=True)
class CallForm:
    """
    Args:
        between: NAMED and TAGGED: what ends the name. NAME_AGAIN in it stands for the name.
        name_key, arguments_key: JSON: where they stand.
        key_open, key_close, value_close: TAGGED: around an argument's name, and after its value.
        quote: BARE: around texts.
    """

    style: Style
    open: str = ""
    section: str = ""
    between: str = ""
    close: str = ""
    name_key: str = "name"
    arguments_key: str = "arguments"
    key_open: str = ""
    key_close: str = ""
    value_close: str = ""
    quote: str = '"'

    def literals(self) -> tuple[str, ...]:
        ends = (self.section, self.open, self.between, self.close)
        return (*ends, self.key_open, self.key_close, self.value_close, self.quote)

    def closing(self) -> list[str]:
        """What may follow, in this order."""
        return [word for word in words_of(self.close) if not word.isalnum()][:MOST_CLOSING]


HERMES = CallForm(Style.JSON, open="<tool_call>", close="</tool_call>")
MISTRAL = CallForm(Style.JSON, open="[TOOL_CALLS]")
"""What models write that were trained on others' answers, whatever their template knows."""


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """
    Args:
        calls: how calls are written. A JSON object of a known tool, as the whole answer, is one always.
        thought: what opens and closes thoughts; ("", "") for none.
        content: the head of a message that is meant to be read, where such heads exist.
        tokens: the control tokens among all these literals: a backend must write them out.
    """

    calls: tuple[CallForm, ...] = (HERMES, MISTRAL)
    thought: tuple[str, str] = ("<think>", "</think>")
    content: str = ""
    tokens: tuple[str, ...] = ()

    @property
    def head(self) -> tuple[str, str] | None:
        """What a message's head begins and ends with, where messages have one."""
        between = self.content.strip()
        tokens = sorted((token for token in self.tokens if token in between), key=between.find)
        return (tokens[0], tokens[-1]) if len(tokens) > 1 else None

    def without_calls(self) -> AnswerFormat:
        """For answers to whoever offers no tools."""
        called = "\n".join(literal for form in self.calls for literal in form.literals())
        others = "\n".join((*self.thought, self.content))
        tokens = tuple(token for token in self.tokens if token in others or token not in called)
        return replace(self, calls=(), tokens=tokens)

    def begins_thinking(self, prompt: str) -> bool:
        """Whether the prompt itself opens the thoughts of the answer."""
        opening = self.thought[0].strip()
        return bool(opening) and prompt.rstrip().endswith(opening)

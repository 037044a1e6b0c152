"""The facts of a session: what was asked, decided, done and left open, and what was named. Pure.

Every fact is a sentence or list item of a message, word for word. What a person says counts; what
the assistant says counts when the person took it up, or where it lists tasks with boxes to check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared_context.conversations.messages import Message

from orchestrator_core.handoff import cues, forms
from orchestrator_core.handoff.credentials import holds_credential
from orchestrator_core.handoff.named import Name, names
from orchestrator_core.handoff.units import MAX_CHARS, Unit, units
from orchestrator_core.messages import Role

MAX_FACT = 500
"""Characters of a fact; longer sentences are lists or tables without full stops."""
LEAST_ASKED = 2
"""Words of a question worth noting: not `Why?`"""
LEAST_FORMED = 3
"""Words of a sentence that may be known by its form alone: not `Ah, yesterday!`"""
LEAST_SAID = 4
"""Words of a sentence that is kept although nothing tells what it is: not `haha thanks a lot`."""
_WORD = re.compile(r"\w+")
_CONCRETE = re.compile(r"\d|`|(?<=[a-zäöüß,] )[A-ZÄÖÜ]\w|[\w]/[\w]")
_COURTESY = re.compile(
    r"\b(?:thanks?|thank you|thx|danke|merci|gracias|grazie|bedankt|obrigado|haha|lol|sorry|nice|interesting|cool)\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"^[*_]+|[*_]+$")


class Kind(StrEnum):
    """In the order an entry lists them."""

    ASKED = "asked"
    DECIDED = "decided"
    DONE = "done"
    TODO = "todo"
    OPEN = "open"
    SAID = "said"
    """What else a person said. No list of words knows every way to decide something."""


@dataclass(frozen=True, slots=True)
class Fact:
    """
    Args:
        text: as it was said, on one line.
        by_assistant: it was the assistant who said it.
        strong: said in so many words; the others go first when room is short.
    """

    kind: Kind
    text: str
    message_id: str
    by_assistant: bool = False
    strong: bool = True


@dataclass(frozen=True, slots=True)
class Extract:
    """
    Args:
        facts: in the order they were said, each once.
        names: likewise; those a person named come first.
        withheld: sentences left out because they seem to hold a password or key.
    """

    facts: tuple[Fact, ...] = ()
    names: tuple[Name, ...] = ()
    withheld: int = 0

    def of(self, kind: Kind) -> list[Fact]:
        return [fact for fact in self.facts if fact.kind is kind]


def extract(messages: Sequence[Message]) -> Extract:
    """The facts of these messages, oldest first; messages of other roles say nothing."""
    said = [one for one in messages if one.role in (Role.USER, Role.ASSISTANT) and one.content.strip()]
    pieces = {one.message_id: units(one.content) for one in said}
    secrets = {text for found in pieces.values() for unit in found if holds_credential(text := unit.text)}
    facts: list[Fact] = []
    asked = ""
    for position, message in enumerate(said):
        following = next((one for one in said[position + 1 :] if one.role == Role.USER), None)
        answered = any(one.role == Role.ASSISTANT for one in said[position + 1 :])
        own = [
            unit
            for unit in pieces[message.message_id]
            if len(unit.text) <= MAX_FACT and unit.text not in secrets
        ]
        if message.role == Role.USER:
            first = not facts and position == 0
            facts += _of_person(message, own, first=first, answered=answered, asked_before=asked)
            asked = ""
        else:
            asked = _last_question(pieces[message.message_id])
            reply = "" if following is None else following.content
            facts += _of_assistant(message, own, reply)
    return Extract(_once(facts), _names(said, secrets), len(secrets))


def newest(messages: Sequence[Message], most_chars: int) -> Sequence[Message]:
    """The newest messages with at most so much text to read together, but at least one."""
    left = most_chars
    for position in range(len(messages) - 1, -1, -1):
        left -= min(len(messages[position].content), MAX_CHARS)
        if left < 0:
            return messages[min(position + 1, len(messages) - 1) :]
    return messages


def is_storable(text: str) -> bool:
    """Whether a line can stand in a document: no comment marks, which would hide it or others."""
    return "<!--" not in text and "-->" not in text and 0 < len(text) <= MAX_FACT


def _of_person(
    message: Message, found: Sequence[Unit], *, first: bool, answered: bool, asked_before: str
) -> Iterator[Fact]:
    """
    Args:
        first: it begins the session.
        answered: somebody answered it.
        asked_before: what the assistant had just asked, "" for nothing.
    """
    # A line that ends with a colon announces what follows; as the topic it stands all the same.
    pieces = [unit for unit in found if unit.kind != "code"]
    asked = 0
    for position, unit in enumerate(pieces):
        announces = unit.text.endswith(":")
        kind, strong = (None, False) if announces else _kind(unit)
        # A session begins with what it is about, also where the words could mean a decision.
        topic = first and position == 0 and not strong and _words(unit.text) > LEAST_ASKED
        if topic or (kind is None and _is_request(unit.text)):
            kind = Kind.ASKED
        if kind is None and not announces:
            kind = _by_form(unit.text, asked_before if position == 0 else "")
        if kind is None and not announces and _is_worth_keeping(unit.text):
            kind, strong = Kind.SAID, _is_concrete(unit.text)
        if kind is Kind.ASKED and (_words(unit.text) < LEAST_ASKED or asked > 3):
            continue
        if kind is not None:
            asked += kind is Kind.ASKED
            yield Fact(kind, _plain(unit.text), message.message_id, strong=strong)
        if kind is Kind.ASKED and not answered and _is_question(unit.text):
            yield Fact(Kind.OPEN, _plain(unit.text), message.message_id)


def _kind(unit: Unit) -> tuple[Kind | None, bool]:
    """What a person's sentence is, and whether it says so in so many words."""
    text = unit.text
    if unit.checked is not None:
        return (Kind.DONE if unit.checked else Kind.TODO), True
    lead = _lead_kind(unit)
    if lead is not None:
        return lead, True
    if _is_question(text):
        return (Kind.OPEN if cues.UNDECIDED.search(text) else Kind.ASKED), True
    if cues.CONDITIONAL.match(text):
        return None, False
    for pattern, kind, strong in _ORDER:
        if pattern.search(text) and not (kind is Kind.DONE and cues.NEGATED.search(text)):
            return kind, strong
    return None, False


def _by_form(text: str, asked_before: str) -> Kind | None:
    """What a statement is, where no cue tells."""
    if _is_question(text) or cues.CONDITIONAL.match(text) or _COURTESY.search(text):
        return None
    if _words(text) >= LEAST_FORMED:
        for has_form, kind in _FORMS:
            if has_form(text):
                return kind
    return Kind.DECIDED if forms.takes_up(text, asked_before) else None


_FORMS = (
    (forms.is_doubt, Kind.OPEN),
    (forms.is_past, Kind.DONE),
    (forms.is_choice, Kind.DECIDED),
    (forms.is_ahead, Kind.TODO),
)
_LATER = re.compile(
    r"\blet['’]s (?:leave|keep|do|have|move|put) .*\b(?:for|to|until) (?:later|tomorrow|next \w+)\b",
    re.IGNORECASE,
)
_ORDER = (
    (cues.UNDECIDED, Kind.OPEN, True),
    (_LATER, Kind.TODO, True),
    (cues.DECIDED, Kind.DECIDED, True),
    (cues.TODO, Kind.TODO, True),
    (cues.DONE, Kind.DONE, True),
    (cues.SETTLED, Kind.DECIDED, False),
)


def _of_assistant(message: Message, found: Sequence[Unit], reply: str) -> Iterator[Fact]:
    pieces = [unit for unit in found if unit.kind != "code" and not _is_question(unit.text)]
    taken_up = bool(cues.ACCEPTANCE.match(reply[:MAX_FACT]))
    proposed = False
    for unit in pieces:
        if unit.checked is False or (taken_up and _lead_kind(unit) is Kind.TODO):
            yield Fact(Kind.TODO, _plain(unit.text), message.message_id, True, strong=unit.checked is False)
        elif taken_up and cues.PROPOSAL.search(unit.text) and not cues.CONDITIONAL.match(unit.text):
            proposed = True
            yield Fact(Kind.DECIDED, _plain(unit.text), message.message_id, True)
    if pieces and not proposed and taken_up and cues.takes_up_all(reply) and len(pieces) <= 2:
        yield Fact(Kind.DECIDED, _plain(pieces[0].text), message.message_id, True)


def _last_question(found: Sequence[Unit]) -> str:
    """The question that a message ends with; "" when it ends otherwise."""
    ends = [unit.text for unit in found[-1:] if unit.kind != "code" and _is_question(unit.text)]
    return ends[0] if ends else ""


def _lead_kind(unit: Unit) -> Kind | None:
    kind = cues.lead_kind(unit.lead) if unit.kind == "item" else None
    return None if kind is None else Kind("open" if kind == "undecided" else kind)


def _is_question(text: str) -> bool:
    return text.rstrip("\"'»”’)*_ ").endswith(("?", "？"))


def _is_request(text: str) -> bool:
    return bool(cues.REQUEST.search(text)) and _words(text) >= LEAST_ASKED


def _is_worth_keeping(text: str) -> bool:
    return _words(text) >= LEAST_SAID and not _is_question(text) and not _COURTESY.search(text)


def _is_concrete(text: str) -> bool:
    """Whether it names or numbers something; such sentences go last when room is short."""
    return bool(_CONCRETE.search(text))


def _words(text: str) -> int:
    if text.isascii():
        return len(_WORD.findall(text))
    # Languages without spaces: about two characters to a word.
    wide = sum("\u3040" <= c <= "\u9fff" for c in text)
    return len(_WORD.findall(text)) + wide // 2


def _plain(text: str) -> str:
    """Without emphasis around the whole sentence."""
    stripped = _MARKUP.sub("", text).strip()
    return stripped if stripped and not set("*_") & set(stripped) else text


def _once(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """Each fact once: of those that say the same, the last; what was done meanwhile is not to do."""
    done = {_key(fact.text) for fact in facts if fact.kind is Kind.DONE}
    told = {_key(fact.text) for fact in facts if fact.kind is not Kind.SAID}
    latest: dict[tuple[Kind, str], Fact] = {}
    for fact in facts:
        if not is_storable(fact.text) or (fact.kind is Kind.TODO and _key(fact.text) in done):
            continue
        if fact.kind is Kind.SAID and _key(fact.text) in told:
            continue
        key = (fact.kind, _key(fact.text))
        earlier = latest.get(key)
        if earlier is not None and fact.by_assistant and not earlier.by_assistant:
            continue  # an answer that repeats what it was told
        latest.pop(key, None)
        latest[key] = fact
    return tuple(latest.values())


def _key(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _names(said: Sequence[Message], secrets: set[str]) -> tuple[Name, ...]:
    """Names in the order they came up, those of a person before those only the assistant gave."""
    by_person: dict[str, Name] = {}
    by_assistant: dict[str, Name] = {}
    for message in said:
        into = by_person if message.role == Role.USER else by_assistant
        for name in names(message.content):
            hidden = holds_credential(name.text) or any(name.text in secret for secret in secrets)
            if not hidden and is_storable(name.text) and "`" not in name.text:
                into.setdefault(name.text, name)
    return (*by_person.values(), *(n for text, n in by_assistant.items() if text not in by_person))

"""One example of a dataset as a chat, whatever form it was written in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LABELS = ("topic", "fact", "wording", "source", "licence")
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """What one side says. `role` is one of `ROLES`."""

    role: str
    content: str

    def as_dict(self) -> dict[str, str]:
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Record:
    """A chat that ends with the answer to be learned.

    Args:
        turns: an optional system turn, then user and assistant in turns; the last is the assistant's.
        topic: what it belongs to, for figures per topic; "" when not given, as the other labels.
        fact: what its answer says; examples of one fact stay on one side of a split.
        wording: how the question came about.
        source: where it comes from.
        licence: terms under which it may be used.
        line: of the file it was read from; 0 for one that was not read.
    """

    turns: tuple[RecordedTurn, ...]
    topic: str = ""
    fact: str = ""
    wording: str = ""
    source: str = ""
    licence: str = ""
    line: int = 0

    @classmethod
    def of(cls, instruction: str, output: str, **labels: Any) -> Record:
        """One question and its answer."""
        return cls((RecordedTurn("user", instruction), RecordedTurn("assistant", output)), **labels)

    @property
    def prompt(self) -> list[dict[str, str]]:
        """Messages before the answer; TRL's column `prompt`."""
        return [turn.as_dict() for turn in self.turns[:-1]]

    @property
    def completion(self) -> list[dict[str, str]]:
        """The answer as a list of one message; TRL's column `completion`."""
        return [self.turns[-1].as_dict()]

    @property
    def question(self) -> str:
        """The last user turn."""
        return self.turns[-2].content

    @property
    def answer(self) -> str:
        return self.turns[-1].content

    def as_dict(self) -> dict[str, Any]:
        """As `instruction`, `input` and `output` where there is one question alone, else as `messages`."""
        content: dict[str, Any] = {"messages": [turn.as_dict() for turn in self.turns]}
        if len(self.turns) == 2:
            content = {"instruction": self.question, "input": "", "output": self.answer}
        return content | {name: getattr(self, name) for name in LABELS if getattr(self, name)}

    def as_messages(self) -> dict[str, Any]:
        """As `messages` in any case."""
        return {"messages": self.prompt + self.completion} | {
            name: getattr(self, name) for name in LABELS if getattr(self, name)
        }


@dataclass(frozen=True, slots=True)
class FieldFault:
    """`field` is where the fault lies; "" for the example as a whole."""

    field: str
    message: str


def record_of(content: Any, line: int = 0) -> Record | list[FieldFault]:
    """The example that a decoded JSON value describes, or what is wrong with it."""
    if not isinstance(content, Mapping):
        return [FieldFault("", f"an example is an object, not {_kind(content)}.")]
    faults = [*_label_faults(content)]
    chat = "messages" in content
    turns = [*(_chat(content["messages"], faults) if chat else _pair(content, faults))]
    if chat and (both := [name for name in ("instruction", "output", "response") if name in content]):
        faults.append(FieldFault(both[0], f"it has both messages and {both[0]}; keep one form."))
    if not faults and any(_lone_surrogate(turn.content) for turn in turns):
        faults.append(FieldFault("", "a text holds half a character (a lone surrogate)."))
    if faults:
        return faults
    american = {"licence": content.get("license")}
    labels: dict[str, Any] = {
        name: str(value)
        for name, value in {**american, **content}.items()
        if name in LABELS and value is not None
    }
    return Record(tuple(turns), **labels, line=line)


def _pair(content: Mapping[str, Any], faults: list[FieldFault]) -> Iterator[RecordedTurn]:
    answer = "response" if "response" in content and "output" not in content else "output"
    if {"output", "response"} <= set(content) and content["output"] != content["response"]:
        faults.append(FieldFault("response", "output and response differ; keep one."))
    for name in ("instruction", answer):
        faults += _text_faults(name, content.get(name), present=name in content)
    more = content.get("input")
    if more is not None and not isinstance(more, str):
        faults.append(FieldFault("input", f"input is a text, not {_kind(more)}."))
    if not faults:
        yield RecordedTurn("user", "\n\n".join(part for part in (content["instruction"], more or "") if part))
        yield RecordedTurn("assistant", content[answer])


def _chat(messages: Any, faults: list[FieldFault]) -> Iterator[RecordedTurn]:
    if not isinstance(messages, list) or not messages:
        faults.append(FieldFault("messages", f"messages is a list of messages, not {_kind(messages)}."))
        return
    turns = []
    for number, message in enumerate(messages, 1):
        where = f"message {number}"
        if not isinstance(message, Mapping):
            faults.append(FieldFault("messages", f"{where} is {_kind(message)}, not an object."))
        elif (role := message.get("role")) not in ROLES:
            faults.append(
                FieldFault("messages", f"{where} has the role {str(role)[:40]!r}; known: {', '.join(ROLES)}.")
            )
        elif wrong := _text_faults("content", message.get("content"), present="content" in message):
            faults += [FieldFault("messages", f"{where}: {fault.message}") for fault in wrong]
        else:
            turns.append(RecordedTurn(str(role), message["content"]))
    if len(turns) == len(messages):
        faults += _order_faults([turn.role for turn in turns])
        yield from turns


def _order_faults(roles: list[str]) -> Iterator[FieldFault]:
    dialogue_roles = roles[1:] if roles[0] == "system" else roles
    expected = ["user", "assistant"] * (len(dialogue_roles) // 2 + 1)
    if wrong := [i for i, role in enumerate(dialogue_roles) if role != expected[i]]:
        place = wrong[0] + len(roles) - len(dialogue_roles)
        message = f"message {place + 1} is the {roles[place]}'s where the {expected[wrong[0]]}'s is due."
        yield FieldFault("messages", message)
    elif len(dialogue_roles) < 2 or len(dialogue_roles) % 2:
        yield FieldFault("messages", "the last message must be the assistant's answer to a user's message.")


def _text_faults(name: str, value: Any, *, present: bool) -> list[FieldFault]:
    if not present:
        return [FieldFault("", f"{name} is missing.")]
    if not isinstance(value, str):
        return [FieldFault(name, f"{name} is a text, not {_kind(value)}.")]
    return [] if value.strip() else [FieldFault(name, f"{name} is empty.")]


def _label_faults(content: Mapping[str, Any]) -> Iterator[FieldFault]:
    for name in (*LABELS, "license"):
        value = content.get(name)
        if value is not None and (not isinstance(value, (str, int)) or _lone_surrogate(str(value))):
            yield FieldFault(name, f"{name} is a text, not {_kind(value)}.")


def _lone_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}


def _kind(value: Any) -> str:
    if value in ([], ""):
        return "an empty list" if value == [] else "an empty text"
    return _KINDS.get(type(value), "a number")

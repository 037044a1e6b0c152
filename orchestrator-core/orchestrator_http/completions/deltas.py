"""What a completion shows its client, piece by piece; and all pieces as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator_core.backend import TokenLogprob

from orchestrator_http.completions.json_schemas import read_json
from orchestrator_http.schemas.openai_answers import FinishReason


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Thinking:
    """What the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegins:
    index: int
    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    reason: FinishReason
    usage: dict[str, int]


Delta = Text | Thinking | CallBegins | CallArguments | Finished | None
"""None: nothing for a while; a stream sends a ping."""


@dataclass
class Collected:
    """A completion's deltas, added up."""

    text: str
    thinking: str
    calls: list[dict[str, str]]
    reason: FinishReason
    usage: dict[str, int]
    logprobs: list[TokenLogprob]


def collect(deltas: Iterator[Delta]) -> Collected:
    """All deltas as one. A call that was cut off by `max_tokens` is left out: its arguments
    would be no JSON."""
    texts: list[str] = []
    logprobs: list[TokenLogprob] = []
    thoughts: list[str] = []
    calls: list[dict[str, str]] = []
    finished = Finished("stop", {})
    for delta in deltas:
        match delta:
            case Text(text, of_text):
                texts.append(text)
                logprobs += of_text
            case Thinking(text):
                thoughts.append(text)
            case CallBegins(_, call_id, name):
                calls.append({"id": call_id, "name": name, "arguments": ""})
            case CallArguments(index, text):
                calls[index]["arguments"] += text
            case Finished():
                finished = delta
    if finished.reason == "length":
        calls = [call for call in calls if json_object(call["arguments"]) is not None]
    return Collected(
        "".join(texts), "".join(thoughts).strip(), calls, finished.reason, finished.usage, logprobs
    )


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object in the text; None when it is none."""
    try:
        value = read_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

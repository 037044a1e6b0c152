"""OpenAI's wire form of a completion: streamed chunks, and the message of a whole one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator_http import sse
from orchestrator_http.deltas import CallArguments, CallBegins, Collected, Delta, Finished, Text
from orchestrator_http.problems import Problem
from orchestrator_http.schemas.openai_answers import (
    AnsweredCall,
    AnsweredFunction,
    AnswerMessage,
    ChatChoice,
    usage_of,
)

DONE = sse.frame("[DONE]")


def chat_choice(found: Collected) -> ChatChoice:
    """The answer of a client that does not stream."""
    calls = [
        AnsweredCall(id=call["id"], function=AnsweredFunction(name=call["name"], arguments=call["arguments"]))
        for call in found.calls
    ]
    content = None if calls and not found.text else found.text
    return ChatChoice(
        message=AnswerMessage(content=content, tool_calls=calls or None), finish_reason=found.reason
    )


def chat_chunks(head: dict[str, Any], deltas: Iterable[Delta], with_usage: bool) -> Iterator[bytes]:
    """`chat.completion.chunk`s.

    Args:
        head: id, object, created and model: the same in each chunk.
        with_usage: end with a chunk without choices that holds the usage.
    """

    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return sse.frame({**head, "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    for delta in deltas:
        match delta:
            case None:
                yield sse.PING
            case Text(text):
                yield chunk({"content": text})
            case CallBegins(index, call_id, name):
                function = {"name": name, "arguments": ""}
                call = {"index": index, "id": call_id, "type": "function", "function": function}
                yield chunk({"tool_calls": [call]})
            case CallArguments(index, text):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
            case Finished(reason, usage):
                yield chunk({}, reason)
                if with_usage:
                    yield _usage_chunk(head, usage)
                yield DONE


def text_chunks(
    head: dict[str, Any], deltas: Iterable[Delta], with_usage: bool, shown_before: str = ""
) -> Iterator[bytes]:
    """`text_completion` chunks.

    Args:
        shown_before: the prompt, for a client that wants it back (`echo`).
    """

    def chunk(text: str, reason: str | None = None) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        return sse.frame({**head, "choices": [choice]})

    if shown_before:
        yield chunk(shown_before)
    for delta in deltas:
        match delta:
            case None:
                yield sse.PING
            case Text(text):
                yield chunk(text)
            case Finished(reason, usage):
                yield chunk("", reason)
                if with_usage:
                    yield _usage_chunk(head, usage)
                yield DONE


def problem_frame(problem: Problem) -> Iterator[bytes]:
    """What the official clients turn into an APIError in the middle of a stream."""
    yield sse.frame(problem.openai_body())


def _usage_chunk(head: dict[str, Any], usage: dict[str, int]) -> bytes:
    return sse.frame({**head, "choices": [], "usage": usage_of(usage).model_dump()})

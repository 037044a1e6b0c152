"""OpenAI's wire form of a completion: streamed chunks, and the message of a whole one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from orchestrator_core.backend import TokenLogprob

from orchestrator_http import sse
from orchestrator_http.completions.deltas import (
    CallArguments,
    CallBegins,
    Collected,
    Delta,
    Finished,
    Text,
    Thinking,
)
from orchestrator_http.completions.logprobs import chat_logprobs, text_logprobs
from orchestrator_http.schemas.openai_answers import (
    AnsweredCall,
    AnsweredFunction,
    AnswerMessage,
    ChatChoice,
    usage_of,
)

DONE = sse.frame("[DONE]")


def chat_choice(index: int, found: Collected) -> ChatChoice:
    """One answer of a client that does not stream."""
    calls = [
        AnsweredCall(id=call["id"], function=AnsweredFunction(name=call["name"], arguments=call["arguments"]))
        for call in found.calls
    ]
    content = None if calls and not found.text else found.text
    return ChatChoice(
        index=index,
        message=AnswerMessage(
            content=content, tool_calls=calls or None, reasoning_content=found.thinking or None
        ),
        finish_reason=found.reason,
        logprobs=chat_logprobs(found.logprobs),
    )


def chat_chunks(
    head: dict[str, Any], answers: Sequence[Iterable[Delta]], with_usage: bool
) -> Iterator[bytes]:
    """`chat.completion.chunk`s. Answers are produced side by side and told one after another.

    Args:
        head: id, object, created and model: the same in each chunk.
        with_usage: end with a chunk without choices that holds the usage.
    """
    usages: list[dict[str, int]] = []
    for index, deltas in enumerate(answers):
        yield from _chat_chunks(index, head, deltas, usages)
    if with_usage:
        yield _usage_chunk(head, usages)
    yield DONE


def _chat_chunks(
    index: int, head: dict[str, Any], deltas: Iterable[Delta], usages: list[dict[str, int]]
) -> Iterator[bytes]:
    def chunk(
        delta: dict[str, Any], reason: str | None = None, logprobs: Sequence[TokenLogprob] = ()
    ) -> bytes:
        fields = chat_logprobs(logprobs)
        choice = {"index": index, "delta": delta, "logprobs": fields, "finish_reason": reason}
        return sse.frame({**head, "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    for delta in deltas:
        match delta:
            case None:
                yield sse.PING
            case Text(text, logprobs):
                yield chunk({"content": text}, logprobs=logprobs)
            case Thinking(text):
                yield chunk({"reasoning_content": text})
            case CallBegins(number, call_id, name):
                function = {"name": name, "arguments": ""}
                call = {"index": number, "id": call_id, "type": "function", "function": function}
                yield chunk({"tool_calls": [call]})
            case CallArguments(number, text):
                yield chunk({"tool_calls": [{"index": number, "function": {"arguments": text}}]})
            case Finished(reason, usage):
                yield chunk({}, reason)
                usages.append(usage)


def text_chunks(
    head: dict[str, Any], answers: Sequence[Iterable[Delta]], with_usage: bool, shown_before: Sequence[str]
) -> Iterator[bytes]:
    """`text_completion` chunks.

    Args:
        shown_before: of each answer: its prompt, for a client that wants it back (`echo`), or "".
    """
    usages: list[dict[str, int]] = []

    def chunk(
        index: int, text: str, reason: str | None = None, logprobs: dict[str, Any] | None = None
    ) -> bytes:
        choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}
        return sse.frame({**head, "choices": [choice]})

    for index, (deltas, before) in enumerate(zip(answers, shown_before, strict=True)):
        if before:
            yield chunk(index, before)
        shown = len(before)
        for delta in deltas:
            match delta:
                case None:
                    yield sse.PING
                case Text(text, logprobs):
                    yield chunk(index, text, logprobs=text_logprobs(logprobs, shown))
                    shown += len(text)
                case Finished(reason, usage):
                    yield chunk(index, "", reason)
                    usages.append(usage)
    if with_usage:
        yield _usage_chunk(head, usages, several_prompts=True)
    yield DONE


def usage_in_all(usages: Sequence[dict[str, int]], *, several_prompts: bool = False) -> dict[str, int]:
    """Of all answers together; a prompt that they share counts once."""
    total = dict(usages[0]) if usages else {}
    for usage in usages[1:]:
        for name in usage if several_prompts else ("completion_tokens",):
            total[name] = total.get(name, 0) + usage.get(name, 0)
    return total


def _usage_chunk(
    head: dict[str, Any], usages: Sequence[dict[str, int]], *, several_prompts: bool = False
) -> bytes:
    usage = usage_of(usage_in_all(usages, several_prompts=several_prompts))
    return sse.frame({**head, "choices": [], "usage": usage.model_dump()})

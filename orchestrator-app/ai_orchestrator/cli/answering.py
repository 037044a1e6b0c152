"""One question put to a link, its answer shown, and Ctrl-C on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator_core.chat_request import ChatRequest

from ai_orchestrator.cli.link.answers import AnswerEvent, Link, LinkAnswer

if TYPE_CHECKING:
    from orchestrator_core.generation import GenerationConfig
    from orchestrator_core.settings import Settings

SAMPLING = {
    "max_new_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
    "stop": "stop",
    "seed": "seed",
}
"""Settings of `generation` and the request fields that carry them."""


def sampling_of(generation: GenerationConfig) -> dict[str, Any]:
    """The request fields for what a flag, a variable or the file has set; the rest is the server's."""
    given = generation.model_fields_set
    fields = {
        field: getattr(generation, name)
        for name, field in SAMPLING.items()
        if name in given and getattr(generation, name) is not None
    }
    if generation.greedy:
        fields["temperature"] = 0.0
    return fields


def make_request(
    settings: Settings,
    link: Link,
    message: str,
    conversation_id: str,
    *,
    system: str | None = None,
    sampling: Mapping[str, Any] | None = None,
    tier: str | None = None,
) -> ChatRequest:
    """The request of a command.

    Raises:
        InvalidRequest: an empty message, or a sampling value out of range.
    """
    body = {
        "message": message,
        "conversation_id": conversation_id,
        "new_conversation": True,
        "context": system if link.remote else None,
        "tier": tier,
        **sampling_of(settings.generation),
        **(sampling or {}),
    }
    return ChatRequest.parse(body)


def follow(
    answer: LinkAnswer, show: Callable[[AnswerEvent], None], stopping: Callable[[], None] | None = None
) -> tuple[Mapping[str, Any], bool]:
    """Show an answer to its end; Ctrl-C stops it and what was said so far is kept.

    Args:
        show: called with each token and seam.
        stopping: called once when Ctrl-C was pressed.

    Returns:
        The final fields, and whether Ctrl-C was pressed.

    Raises:
        KeyboardInterrupt: pressed again while the answer was being stopped.
        OrchestratorError: the answer failed.
    """
    try:
        return _to_the_end(answer, show), False
    except KeyboardInterrupt:
        if stopping is not None:
            stopping()
        answer.cancel()
        return _to_the_end(answer, lambda event: None), True


def _to_the_end(answer: LinkAnswer, show: Callable[[AnswerEvent], None]) -> Mapping[str, Any]:
    for event in answer:
        if event.kind == "done":
            return event.data
        show(event)
    return {}

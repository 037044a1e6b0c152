"""What a prompt is made from, what comes out, and the refusal when nothing can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared_context.conversations.messages import Message
from shared_context.documents.context_folder import Document
from shared_context.retrieval.recall import Found

from orchestrator_core.backend import Prompt
from orchestrator_core.errors import ContextLengthExceeded
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.prompt.budget import least_answer
from orchestrator_core.prompt.receipt import Receipt


class Summaries(Protocol):
    """Summaries of turns that left the window; kept, so that one is made only once."""

    def of(self, left: Sequence[Message], dropped: int, max_tokens: int, count: Callable[[str], int]) -> str:
        """As `handoff.leaving.summary`.

        Args:
            left: messages that left, oldest first; may lack the oldest of `dropped`.
        """
        ...


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """What a prompt is made from.

    Args:
        message: the new user message.
        created_at: ISO 8601 time at which it was stored.
        config: sampling and limits; `max_new_tokens` is lowered when it is only a default.
        explicit_max_tokens: the client named max_new_tokens: keep it or refuse.
        history: the conversation's messages before this one, oldest first; may lack the
            oldest, then `turns_before` tells how many turns there are in all.
        turns_before: user messages before this one; None: those in `history`.
        documents: broad to narrow.
        context: extra text for this answer only.
        recalled: passages from elsewhere in the memory that may help, best first.
        summaries: of the conversation; None: they are made anew from `history`.
        shown: beginning of the answer, to be continued: no part of the prompt, but room in the window
            is kept for it.
    """

    message: str
    created_at: str
    config: GenerationConfig
    explicit_max_tokens: bool = False
    history: Sequence[Message] = ()
    turns_before: int | None = None
    documents: Sequence[Document] = ()
    context: str | None = None
    recalled: Sequence[Found] = ()
    summaries: Summaries | None = None
    shown: str = ""
    tier: str = "desktop"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BuiltPrompt:
    """A prompt that fits, ready to be sent.

    Args:
        config: that of the request, with the final `max_new_tokens`.
        prompt_tokens: counted by the backend, BOS included, and the beginning of the answer where
            there is one.
    """

    prompt: Prompt
    receipt: Receipt
    config: GenerationConfig
    prompt_tokens: int


def too_long(window: int, needed: int, wanted: int, explicit: bool) -> ContextLengthExceeded:
    """The error for a prompt that can never fit.

    Args:
        window: context length in tokens.
        needed: tokens the prompt cannot do without.
        wanted: tokens for the answer; `explicit` when the request named the number.
    """
    if explicit and needed + 1 <= window:
        return ContextLengthExceeded(
            f"The prompt needs {needed:,} tokens and {wanted:,} are asked for the answer;"
            f" the model's window holds {window:,}.",
            hint=f"Ask for at most {window - needed:,} tokens (max_tokens).",
            param="max_tokens",
        )
    return ContextLengthExceeded(
        f"The message needs {needed:,} tokens with the system text; the model's window holds {window:,}"
        f" and at least {min(wanted, least_answer(window)):,} stay free for the answer.",
        hint="Shorten the message or its context, or use a model with a longer window.",
        param="message",
    )

"""What a link offers, and one answer as a stream of events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

from orchestrator_core.chat_request import ChatRequest


@dataclass(frozen=True, slots=True)
class AnswerEvent:
    """A piece of an answer.

    kind     data
    token    {"token": text}
    seam     {"tier", "model", "reason"}: another engine or tier goes on
    done     the fields of the `/chat` answer, and "finish_reason"
    """

    kind: Literal["token", "seam", "done"]
    data: Mapping[str, Any]

    @property
    def text(self) -> str:
        return str(self.data.get("token", ""))


class LinkAnswer(Protocol):
    """One answer in production. An iteration that was interrupted may be begun again: it
    goes on after the last event that was given out."""

    def __iter__(self) -> Iterator[AnswerEvent]:
        """Ends after a `done` event.

        Raises:
            OrchestratorError: the answer failed; what was yielded before stays said.
        """
        ...

    def cancel(self) -> None:
        """Stop it; safe at any time. The iteration then ends with `done`, finish_reason cancelled."""
        ...


class Link(Protocol):
    """An assistant, wherever it runs."""

    where: str
    """For people: "this process" or the server's address."""
    remote: bool
    """Whether another process answers, with settings of its own."""

    def model(self) -> str:
        """Name of the model that answers."""
        ...

    def ask(self, request: ChatRequest) -> LinkAnswer: ...

    def latest(self) -> str | None:
        """The conversation that was used last; None when nothing was ever said."""
        ...

    def history(self, conversation_id: str) -> list[Mapping[str, Any]]:
        """Its messages, oldest first: `role`, `content`, `message_id`, `tier`, `created_at`.

        Raises:
            NotFound or ConversationNotFound.
        """
        ...

    def clear(self, conversation_id: str) -> None: ...

    def save(self, conversation_id: str) -> str:
        """Write it to a file in the data folder; returns the path."""
        ...

    def preview(self, conversation_id: str | None, message: str | None) -> Mapping[str, Any]:
        """The prompt that would be sent: `prompt`, `prompt_tokens`, `receipt`."""
        ...

    def draft_handoff(self, conversation_id: str, use_model: bool) -> dict[str, Any]:
        """The draft that would end this session, as `POST /handoff` answers."""
        ...

    def confirm_handoff(self, confirmation: Mapping[str, Any]) -> dict[str, Any]:
        """Store it, as `POST /handoff/confirm` does."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def export_name(conversation_id: str) -> str:
    """File name for a saved conversation: its id, as far as a file name may hold it."""
    kept = re.sub(r"[^A-Za-z0-9_-]", "_", conversation_id)[:90].lstrip("_-")
    return f"{kept or 'conversation'}.json"

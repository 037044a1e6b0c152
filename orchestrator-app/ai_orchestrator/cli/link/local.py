"""The link to an assistant in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import from_body

from ai_orchestrator.cli.link.answers import AnswerEvent, export_name
from ai_orchestrator.cli.stored import latest_used

if TYPE_CHECKING:
    from orchestrator_core.assistant import Assistant
    from orchestrator_core.backend import ChatBackend
    from orchestrator_core.runs.run import Run
    from orchestrator_core.settings import Settings

    from ai_orchestrator.cli.link.handoffs import LocalHandoffs

HISTORY_FIELDS = ("role", "content", "message_id", "tier", "created_at")


class LocalLink:
    """An assistant opened, and in the end closed, by this process."""

    remote = False

    def __init__(
        self, assistant: Assistant, settings: Settings, at_close: Callable[[], object] | None = None
    ) -> None:
        self.where = "this process"
        self.assistant = assistant
        self._settings = settings
        self._at_close = at_close

    @classmethod
    def open(
        cls, settings: Settings, backend: ChatBackend | None, at_close: Callable[[], object] | None = None
    ) -> Self:
        from orchestrator_core.assistant import open_assistant
        from orchestrator_core.logs import configure_logging

        # The terminal belongs to the conversation; the log goes to its file.
        configure_logging(settings.log, settings.data, console=settings.log.level == "DEBUG")
        assistant = open_assistant(settings, tier="desktop", backend=backend)
        return cls(assistant, settings, at_close)

    def model(self) -> str:
        return self.assistant.backend.describe().model

    def ask(self, request: ChatRequest) -> LocalAnswer:
        return LocalAnswer(self.assistant.ask(request))

    def latest(self) -> str | None:
        return latest_used(self.assistant.conversations)

    def history(self, conversation_id: str) -> list[Mapping[str, Any]]:
        stored = self.assistant.conversations.messages(conversation_id)
        return [{name: asdict(message)[name] for name in HISTORY_FIELDS} for message in stored]

    def clear(self, conversation_id: str) -> None:
        self.assistant.conversations.clear(conversation_id)

    def save(self, conversation_id: str) -> str:
        from shared_context.conversations.transfer import save_conversation

        folder = self._settings.data / "exports"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / export_name(conversation_id)
        save_conversation(self.assistant.conversations, conversation_id, path)
        return str(path)

    def preview(self, conversation_id: str | None, message: str | None) -> Mapping[str, Any]:
        built = self.assistant.preview(conversation_id, message)
        return {
            "prompt": built.prompt.text,
            "prompt_tokens": built.prompt_tokens,
            "receipt": built.receipt.model_dump(mode="json"),
        }

    def draft_handoff(self, conversation_id: str, use_model: bool) -> dict[str, Any]:
        return self._handoffs.draft_handoff(conversation_id, use_model)

    def confirm_handoff(self, confirmation: Mapping[str, Any]) -> dict[str, Any]:
        return self._handoffs.confirm_handoff(confirmation)

    @cached_property
    def _handoffs(self) -> LocalHandoffs:
        """
        Raises:
            InvalidRequest: this session keeps nothing that could be handed off.
        """
        from orchestrator_core.assistant.minutes import proposer_of
        from orchestrator_core.errors import InvalidRequest

        from ai_orchestrator.cli.link.handoffs import LocalHandoffs

        context = self.assistant.context
        if self._at_close is not None or context is None:
            raise InvalidRequest(
                "This session keeps no memory, so there is nothing to hand off.", hint="Leave --no-log out."
            )
        return LocalHandoffs(self.assistant.conversations, context, proposer_of(self.assistant))

    def close(self) -> None:
        try:
            self.assistant.close()
        finally:
            if self._at_close is not None:
                self._at_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class LocalAnswer:
    """A run of this process."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._offset = 0

    def __iter__(self) -> Iterator[AnswerEvent]:
        for event in self._run.events(after=self._offset):
            if event is None:
                continue
            self._offset = event.offset
            if event.final:
                self._run.log.mark_end_seen()
            if event.kind == "error":
                raise from_body(event.data)
            if event.kind != "thinking" and event.kind != "logprobs":  # A terminal shows the answer alone.
                yield AnswerEvent(event.kind, event.data)

    def cancel(self) -> None:
        self._run.cancel()

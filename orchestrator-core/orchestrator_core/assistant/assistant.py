"""The assistant: validates, remembers, builds the prompt, starts the run, stores the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Self

from shared_context.conversations.migrations import DEFAULT_CONVERSATION
from shared_context.documents.context_folder import ContextFolder
from shared_context.storage.identity import new_id

from orchestrator_core.assistant.asking import Asking
from orchestrator_core.assistant.collaborators import Collaborators
from orchestrator_core.assistant.context_loading import LoadedContext, load_context
from orchestrator_core.assistant.forgetting import Forgetting
from orchestrator_core.assistant.projects import documents_of
from orchestrator_core.assistant.prompting import Prompting
from orchestrator_core.assistant.reanswer_queue import Later
from orchestrator_core.chat_request import ChatRequest, GenerateRequest
from orchestrator_core.errors import InvalidRequest
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage
from orchestrator_core.news import NewsDesk
from orchestrator_core.prompt.builder import BuiltPrompt, PromptBuilder
from orchestrator_core.runs.manager import RunManager
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.spec import RunSpec
from orchestrator_core.tiers.router import Decision

log = logging.getLogger(__name__)


class Assistant:
    """One tier's assistant. Safe from any thread.

    Args:
        news: what the owner should hear of although no client is looking.
        later: keeps questions that another tier shall answer again when it is back, or None.
        forgetting: has what was deleted forgotten, or None.
        close: what else to close after everything, in the given order.
    """

    def __init__(
        self,
        collaborators: Collaborators,
        prompting: Prompting,
        runs: RunManager,
        *,
        news: NewsDesk | None = None,
        later: Later | None = None,
        forgetting: Forgetting | None = None,
        close: Sequence[Callable[[], object]] = (),
    ) -> None:
        self.settings = collaborators.settings
        self.tier = collaborators.tier
        self.conversations = collaborators.conversations
        self.context = collaborators.context
        self.backend = collaborators.backend
        self.memory = collaborators.memory
        self.remote = None if collaborators.elsewhere is None else collaborators.elsewhere.remote
        self.runs = runs
        self.prompting = prompting
        self.news = news or NewsDesk()
        self._asking = Asking(collaborators, prompting, runs, later)
        self._forgetting = forgetting
        self._close = list(close)

    @property
    def builder(self) -> PromptBuilder:
        """Builds this assistant's prompts; loads the model when it is used first."""
        return self.prompting.builder

    def route(self, requested_tier: str = "auto") -> Decision:
        """Which tier answers a question that comes now; see `tiers.router.route`.

        Raises:
            TierUnreachable: `requested_tier` names a tier that is away.
        """
        return self._asking.route(requested_tier)

    def ask(
        self,
        request: ChatRequest,
        *,
        reason: str | None = None,
        own_ready: Callable[[], object] = lambda: None,
    ) -> Run:
        """Store the message and start its answer, here or at another tier; for a `message_id` that
        was sent before, the run that answers it already.

        The history of the answer is what is committed when the message is; of two questions
        asked at once, neither waits for the other, and each answer follows its question.

        Args:
            reason: why this tier answers; for the receipt.
            own_ready: called before this tier's own model is asked; it may wait for it, or raise.

        Raises:
            ContextLengthExceeded, InvalidRequest, PayloadTooLarge, ConversationNotFound,
            Conflict, Overloaded: nothing was stored. Another tier's refusal is raised as it was.
            TierUnreachable: the tier that the request names is away; nothing was stored here.
            StoreError: the message could not be stored.
            BackendError: the model cannot be used; the message is stored.
        """
        return self._asking.ask(request, reason=reason, own_ready=own_ready)

    def recover(self) -> None:
        """Go on with the answers that a crash interrupted; see `RunManager.recover`."""
        self.runs.recover(self._asking.source_of)

    def preview(
        self, conversation_id: str | None = None, message: str | None = None, project: str | None = None
    ) -> BuiltPrompt:
        """The prompt that `ask` would send now for this message, byte for byte; only the
        minute in its time line may have passed.

        Raises:
            ContextLengthExceeded, ConversationNotFound, DocumentNotFound, BackendError.
        """
        request = ChatRequest.model_construct(
            message=message or "", conversation_id=conversation_id, project=project
        )
        return self.prompting.preview(request, conversation_id or DEFAULT_CONVERSATION)

    def complete(
        self,
        messages: Sequence[ChatMessage],
        config: GenerationConfig,
        tools: Sequence[dict[str, Any]] = (),
        *,
        shown: str = "",
    ) -> Run:
        """Answer exactly these messages; nothing is added and nothing is stored.

        Args:
            shown: beginning of the answer that the client has already; the run goes on after it
                and its text is only what follows.

        Raises:
            ContextLengthExceeded, InvalidRequest, Overloaded, BackendError.
        """
        if not messages:
            raise InvalidRequest("There are no messages.", param="messages")
        self.runs.ensure_room()
        built = self.builder.build_messages(
            messages,
            config,
            tools=tools,
            today=datetime.now().astimezone(),
            tier=self.tier,
            reason=self.prompting.reason(None),
            shown=shown,
        )
        return self._start(built, shown=shown)

    def generate_raw(self, request: GenerateRequest) -> Run:
        """Continue a raw prompt; nothing is stored.

        Raises:
            ContextLengthExceeded, PayloadTooLarge, Overloaded, BackendError.
        """
        return self.continue_text(request.prompt, request.generation(self.api_sampling()))

    def continue_text(self, text: str, config: GenerationConfig) -> Run:
        """`generate_raw` with a configuration of the caller's.

        Raises:
            ContextLengthExceeded, PayloadTooLarge, Overloaded, BackendError.
        """
        GenerateRequest.model_construct(prompt=text).check_size(self.settings.server.max_message_chars)
        self.runs.ensure_room()
        reason = self.prompting.reason(None)
        built = self.builder.build_raw(text, config, tier=self.tier, reason=reason)
        return self._start(built)

    def api_sampling(self) -> GenerationConfig:
        """What a request outside of the conversations gets when it says nothing: the model's own
        advice, else its plain distribution, for as long as the window has room. The settings of
        `generation` are for conversations.

        Raises:
            BackendError: the model cannot be used.
        """
        return GenerationConfig().advised(self.backend.suggested_sampling())

    def context_of(self, project: str | None = None) -> ContextFolder | None:
        """The handoff documents of a project that exists, by default the active one.

        Raises:
            DocumentNotFound, NotFound: there is no such project.
        """
        return documents_of(self.context, project)

    def load_context(
        self, name: str, max_tokens: int | None = None, project: str | None = None
    ) -> LoadedContext:
        """A handoff document, cut at its headings or entries to `max_tokens` tokens.

        Args:
            max_tokens: default: a quarter of the window.
            project: default: the active one.

        Raises:
            DocumentNotFound: unknown name or project. InvalidRequest: there is no context folder.
            BackendError: the model that counts the tokens cannot be used.
        """
        context = self.context_of(project)
        if context is None:
            raise InvalidRequest("This assistant has no context folder.")
        room = max(1, self.backend.context_length // 4) if max_tokens is None else max_tokens
        return load_context(context.document(name), room, self.builder)

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` with the answering model's tokenizer; remembered."""
        return self.builder.count(text)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text. Raises Unsupported where the backend has none."""
        return self.backend.embed(texts)

    def forget_deleted(self) -> None:
        """What was deleted has left this tier's runs, index and files when this returns; see `Forgetting`.

        Raises:
            StoreError.
        """
        if self._forgetting is not None:
            self._forgetting.forget()

    def also_close(self, step: Callable[[], object]) -> None:
        """Something that is needed as long as the assistant is open; closed after it."""
        self._close.append(step)

    def close(self) -> None:
        """Let running answers end shortly, then close everything. Interrupted answers go on
        at the next start. Idempotent."""
        while self._close:
            try:
                self._close.pop(0)()
            except Exception:
                log.exception("Something could not be closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(
        self,
        built: BuiltPrompt,
        shown: str = "",
    ) -> Run:
        """A run that is not stored."""
        return self.runs.start(
            RunSpec(
                run_id=new_id(),
                prompt=built.prompt,
                config=built.config,
                conversation_id=None,
                message_id=None,
                reply_to=None,
                tier=self.tier,
                model=built.receipt.model,
                reason=built.receipt.reason,
                receipt=built.receipt.model_dump(mode="json"),
                durable=False,
                shown=shown,
            )
        )

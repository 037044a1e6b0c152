"""The assistant: validates, remembers, builds the prompt, starts the run, stores the answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Self

from shared_context.conversations import ConversationStore
from shared_context.documents import ContextFolder, Document
from shared_context.identity import new_id, now
from shared_context.messages import Message
from shared_context.migrations import DEFAULT_CONVERSATION
from shared_context.retrieval.recall import Found, MemorySearch

from orchestrator_core.assistant.context_loading import LoadedContext, load_context
from orchestrator_core.assistant.remembering import Recollection
from orchestrator_core.assistant.repeating import earlier_run
from orchestrator_core.assistant.storing import AnswerStore
from orchestrator_core.backends.base import ChatBackend
from orchestrator_core.chat_request import ChatRequest, GenerateRequest
from orchestrator_core.errors import BackendError, InvalidRequest
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.prompt.builder import BuiltPrompt, PromptBuilder, PromptRequest
from orchestrator_core.runs.manager import RunManager
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.spec import RunResult, RunSpec
from orchestrator_core.settings import Settings
from orchestrator_core.tiers.remote import RemoteTier, TierState
from orchestrator_core.tiers.router import Decision, RoutePolicy, route

log = logging.getLogger(__name__)

MAX_HISTORY_MESSAGES = 2000
TOKENS_PER_MESSAGE = 8
"""Bounds of what is read for one prompt: half a turn, with its time line and the template's
tokens around it, costs at least this much, so older messages could never be shown."""


class Assistant:
    """One tier's assistant. Safe from any thread.

    Args:
        tier: `desktop`, `vps` or `phone`: who answers here.
        context: the handoff documents, or None.
        memory: search over everything said and written, for what a question should recall; or None.
        remote: another tier that may answer instead, or None.
        close: what else to close after everything, in the given order.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        tier: str,
        conversations: ConversationStore,
        context: ContextFolder | None,
        backend: ChatBackend,
        runs: RunManager,
        memory: MemorySearch | None = None,
        remote: RemoteTier | None = None,
        close: Sequence[Callable[[], object]] = (),
    ) -> None:
        self.settings = settings
        self.remote = remote
        self.tier = tier
        self.conversations = conversations
        self.context = context
        self.backend = backend
        self.runs = runs
        self.memory = memory
        share = settings.context.retrieval_share
        self._recollection = Recollection(memory, conversations, backend, share)
        self._close = list(close)
        self._builder: PromptBuilder | None = None
        self._builder_lock = threading.Lock()

    @classmethod
    def open(
        cls,
        settings: Settings,
        tier: str = "desktop",
        backend: ChatBackend | None = None,
        *,
        remote: RemoteTier | None = None,
    ) -> Self:
        """An assistant with everything it needs, from settings.

        Answers that a crash interrupted go on; the documents are prewarmed in the background.

        Args:
            backend: instead of the one the settings name; closed with the assistant.
            remote: another tier that may answer instead; closed by its owner, after the assistant.

        Raises:
            StoreLocked: another process holds the data folder.
            StoreError: a database cannot be used. ModelNotFound, ConfigurationError: the
                settings name no usable backend.
        """
        from orchestrator_core.assistant.opening import open_assistant

        return open_assistant(cls, settings, tier, backend, remote)

    @property
    def builder(self) -> PromptBuilder:
        """Builds this assistant's prompts; loads the model when it is used first."""
        with self._builder_lock:
            if self._builder is None:
                chosen = self.settings.context
                self._builder = PromptBuilder(
                    self.backend,
                    system_prompt=chosen.system_prompt,
                    share=chosen.share,
                    recall_share=self._recollection.share,
                )
            return self._builder

    def route(self, wish: str = "auto") -> Decision:
        """Which tier answers a question that comes now; see `tiers.router.route`.

        Raises:
            TierUnreachable: `wish` names a tier that is away.
        """
        own = TierState(self.tier, reachable=True, queue=self.backend.stats().waiting)
        other = None if self.remote is None else self.remote.state()
        return route(own, other, wish, RoutePolicy.of(self.settings.relay))

    def ask(self, request: ChatRequest, *, reason: str | None = None) -> Run:
        """Store the message and start its answer; for a `message_id` that was sent before,
        the run that answers it already.

        The history of the answer is what is committed when the message is; of two questions
        asked at once, neither waits for the other, and each answer follows its question.

        Args:
            reason: why this tier answers; for the receipt.

        Raises:
            ContextLengthExceeded, InvalidRequest, PayloadTooLarge, ConversationNotFound,
            Conflict, Overloaded: nothing was stored.
            StoreError: the message could not be stored.
            BackendError: the model cannot be used; the message is stored.
        """
        self._check(request)
        conversation_id = request.conversation_id or DEFAULT_CONVERSATION
        self.conversations.get(conversation_id)
        run = earlier_run(request, conversation_id, self.conversations, self.runs)
        if isinstance(run, Run):
            return run
        self.runs.ensure_room()
        self._check_fits(request)
        # Before the message is stored: it would be among what is searched.
        found = self._recollection.of(request, conversation_id)
        asked = self.conversations.add_message(
            conversation_id, Role.USER, request.message, message_id=request.message_id, tier=self.tier
        )
        built = self._build(request, conversation_id, asked, reason, found)
        return self._start(built, run, conversation_id=conversation_id, reply_to=asked.message_id)

    def preview(self, conversation_id: str | None = None, message: str | None = None) -> BuiltPrompt:
        """The prompt that `ask` would send now for this message, byte for byte; only the
        minute in its time line may have passed.

        Raises:
            ContextLengthExceeded, ConversationNotFound, BackendError.
        """
        request = ChatRequest.model_construct(message=message or "", conversation_id=conversation_id)
        return self._preview(request, conversation_id or DEFAULT_CONVERSATION)

    def preview_request(self, request: ChatRequest) -> BuiltPrompt:
        """`preview` of a whole request, with its context and sampling."""
        self._check(request)
        return self._preview(request, request.conversation_id or DEFAULT_CONVERSATION)

    def complete(
        self,
        messages: Sequence[ChatMessage],
        config: GenerationConfig,
        tools: Sequence[dict[str, Any]] = (),
        *,
        explicit_max_tokens: bool = False,
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
            explicit_max_tokens=explicit_max_tokens,
            tools=tools,
            today=datetime.now().astimezone(),
            tier=self.tier,
            reason=self._reason(None),
            shown=shown,
        )
        return self._start(built, shown=shown)

    def generate_raw(self, request: GenerateRequest) -> Run:
        """Continue a raw prompt; nothing is stored.

        Raises:
            ContextLengthExceeded, PayloadTooLarge, Overloaded, BackendError.
        """
        return self.continue_text(
            request.prompt,
            request.generation(self.generation_defaults()),
            explicit_max_tokens=request.max_tokens is not None,
        )

    def continue_text(self, text: str, config: GenerationConfig, *, explicit_max_tokens: bool = False) -> Run:
        """`generate_raw` with a configuration of the caller's.

        Raises:
            ContextLengthExceeded, PayloadTooLarge, Overloaded, BackendError.
        """
        GenerateRequest.model_construct(prompt=text).check_size(self.settings.server.max_message_chars)
        self.runs.ensure_room()
        reason = self._reason(None)
        built = self.builder.build_raw(
            text, config, explicit_max_tokens=explicit_max_tokens, tier=self.tier, reason=reason
        )
        return self._start(built)

    def generation_defaults(self) -> GenerationConfig:
        """What a request that says nothing gets: the owner's settings, else the model's advice,
        else ours.

        Raises:
            BackendError: the model cannot be used.
        """
        return self.settings.generation.advised(self.backend.suggested_sampling())

    def load_context(self, name: str, max_tokens: int | None = None) -> LoadedContext:
        """A handoff document, cut at its headings or entries to `max_tokens` tokens.

        Args:
            max_tokens: default: a quarter of the window.

        Raises:
            DocumentNotFound: unknown name. InvalidRequest: there is no context folder.
            BackendError: the model that counts the tokens cannot be used.
        """
        if self.context is None:
            raise InvalidRequest("This assistant has no context folder.")
        room = max(1, self.backend.context_length // 4) if max_tokens is None else max_tokens
        return load_context(self.context.document(name), room, self.builder)

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` with the answering model's tokenizer; remembered."""
        return self.builder.count(text)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text. Raises Unsupported where the backend has none."""
        return self.backend.embed(texts)

    def prewarm(self) -> None:
        """Have the backend read ahead of the next question: the documents, then the conversation
        that was last active.

        Raises:
            BackendError: the model cannot be used.
        """
        self._recollection.refresh()
        latest = self.conversations.list(limit=1)
        conversation_id = latest[0].conversation_id if latest else DEFAULT_CONVERSATION
        request = ChatRequest.model_construct(message="", conversation_id=conversation_id)
        prompt = self.builder.prompt_ahead(self._next_request(request, conversation_id, None, None, ()))
        if prompt is not None:
            self.backend.prewarm(prompt)

    def store_answer(self, spec: RunSpec, result: RunResult) -> dict[str, Any]:
        """`on_finish` for a run manager built by hand; see `AnswerStore`."""
        return AnswerStore(self.conversations)(spec, result)

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

    def _check(self, request: ChatRequest) -> None:
        request.check_size(self.settings.server.max_message_chars)
        if request.tier not in (None, "auto", self.tier):
            raise InvalidRequest(
                f"The tier {request.tier!r} cannot answer here: this is the {self.tier}.",
                hint=f"Leave 'tier' out, or give 'auto' or {self.tier!r}.",
                param="tier",
            )
        active = None if self.context is None else self.context.project
        if request.project not in (None, active):
            raise InvalidRequest(
                f"The project {request.project!r} is not the active one"
                + (f" ({active!r})." if active else "; none is active."),
                hint="Set context.project (ORCHESTRATOR_PROJECT) to it.",
                param="project",
            )

    def _check_fits(self, request: ChatRequest) -> None:
        """A message that can never fit is refused before it is stored. When the model cannot be
        asked, the message is stored all the same: what was said is not lost."""
        try:
            self.builder.check(self._prompt_request(request, created_at=now()))
        except BackendError as error:
            log.warning("A message is stored although its length cannot be checked: %s", error)

    def _preview(self, request: ChatRequest, conversation_id: str) -> BuiltPrompt:
        self.conversations.get(conversation_id)
        return self._build(
            request, conversation_id, None, None, self._recollection.of(request, conversation_id)
        )

    def _build(
        self,
        request: ChatRequest,
        conversation_id: str,
        asked: Message | None,
        reason: str | None,
        found: Sequence[Found],
    ) -> BuiltPrompt:
        return self.builder.build(self._next_request(request, conversation_id, asked, reason, found))

    def _next_request(
        self,
        request: ChatRequest,
        conversation_id: str,
        asked: Message | None,
        reason: str | None,
        found: Sequence[Found],
    ) -> PromptRequest:
        """What the answer to a message is made from; `asked` is None while it is not stored."""
        limit = min(MAX_HISTORY_MESSAGES, self.backend.context_length // TOKENS_PER_MESSAGE + 2)
        messages = self.conversations.messages(conversation_id, limit=limit)
        history, later = _before(messages, asked)
        turns: int | None = None
        if len(messages) == limit:  # there are older ones
            asked_in_all = self.conversations.get(conversation_id).turn_count
            turns = max(0, asked_in_all - later - (0 if asked is None else 1))
        return self._prompt_request(
            request,
            created_at=now() if asked is None else asked.created_at,
            history=history,
            turns_before=turns,
            reason=reason,
            found=found,
        )

    def _prompt_request(
        self,
        request: ChatRequest,
        *,
        created_at: str,
        history: Sequence[Message] = (),
        turns_before: int | None = None,
        reason: str | None = None,
        found: Sequence[Found] = (),
    ) -> PromptRequest:
        return PromptRequest(
            message=request.message,
            created_at=created_at,
            config=request.generation(self.generation_defaults()),
            explicit_max_tokens=request.max_tokens is not None,
            history=history,
            turns_before=turns_before,
            documents=self._documents(),
            context=request.context,
            recalled=found,
            tier=self.tier,
            reason=self._reason(reason),
        )

    def _start(
        self,
        built: BuiltPrompt,
        run_id: str | None = None,
        *,
        conversation_id: str | None = None,
        reply_to: str | None = None,
        shown: str = "",
    ) -> Run:
        return self.runs.start(
            RunSpec(
                run_id=run_id or new_id(),
                prompt=built.prompt,
                config=built.config,
                conversation_id=conversation_id,
                message_id=new_id(),
                reply_to=reply_to,
                tier=self.tier,
                model=built.receipt.model,
                reason=built.receipt.reason,
                receipt=built.receipt.model_dump(mode="json"),
                durable=conversation_id is not None,
                shown=shown,
            )
        )

    def _documents(self) -> list[Document]:
        return [] if self.context is None else self.context.documents()

    def _reason(self, given: str | None) -> str:
        return given or f"the {self.tier} was asked and answers itself"


def _before(messages: Sequence[Message], asked: Message | None) -> tuple[list[Message], int]:
    """The messages before a question, and how many questions came after it."""
    if asked is None:
        return list(messages), 0
    ids = [message.message_id for message in messages]
    place = ids.index(asked.message_id) if asked.message_id in ids else len(ids)
    later = sum(message.role == Role.USER for message in messages[place + 1 :])
    return list(messages[:place]), later

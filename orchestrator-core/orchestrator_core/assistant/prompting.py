"""From a request and the memory to a prompt that fits the model of this tier."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace

from shared_context.conversations.messages import Message
from shared_context.conversations.migrations import DEFAULT_CONVERSATION
from shared_context.documents.context_folder import Document
from shared_context.retrieval.recall import Found
from shared_context.storage.identity import now

from orchestrator_core.assistant.collaborators import Collaborators
from orchestrator_core.assistant.projects import documents_of, paths_of
from orchestrator_core.assistant.remembering import Recollection
from orchestrator_core.assistant.summarized_turns import ConversationSummaries, LeftTurns
from orchestrator_core.chat_request import ChatRequest, EarlierMessage
from orchestrator_core.errors import BackendError
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import Role
from orchestrator_core.prompt.budget import USUAL_ANSWER
from orchestrator_core.prompt.builder import BuiltPrompt, PromptBuilder, PromptRequest

log = logging.getLogger(__name__)

MAX_HISTORY_MESSAGES = 2000
TOKENS_PER_MESSAGE = 8
"""Bounds of what is read for one prompt: half a turn, with its time line and the template's
tokens around it, costs at least this much, so older messages could never be shown."""


class Prompting:
    """Builds the prompts of one tier. Safe from any thread."""

    def __init__(self, collaborators: Collaborators) -> None:
        self._with = collaborators
        self._recollection = Recollection(
            collaborators.memory,
            collaborators.conversations,
            collaborators.backend,
            collaborators.settings.context.retrieval_share,
        )
        self._left_turns = LeftTurns(
            collaborators.conversations, lambda: collaborators.backend.describe().model
        )
        self._builder: PromptBuilder | None = None
        self._builder_lock = threading.Lock()

    @property
    def builder(self) -> PromptBuilder:
        """Loads the model when it is used first. Another model has its own template and tokens."""
        backend = self._with.backend.current()
        with self._builder_lock:
            if self._builder is None or self._builder.backend is not backend:
                chosen = self._with.settings.context
                self._builder = PromptBuilder(
                    backend,
                    system_prompt=chosen.system_prompt,
                    share=chosen.share,
                    answer_tokens=self._with.settings.generation.max_new_tokens or USUAL_ANSWER,
                    recall_share=self._recollection.share,
                )
            return self._builder

    def _chat_sampling(self) -> GenerationConfig:
        """What a question that says nothing gets: the owner's settings, else the model's advice,
        else ours."""
        return self._with.settings.generation.advised(self._with.backend.suggested_sampling())

    def documents(self, project: str | None = None) -> list[Document]:
        """
        Raises:
            DocumentNotFound, NotFound: there is no such project.
        """
        context = documents_of(self._with.context, project)
        return [] if context is None else context.documents()

    def reason(self, given: str | None) -> str:
        return given or f"the {self._with.tier} was asked and answers itself"

    def recalled(self, request: ChatRequest, conversation_id: str) -> list[Found]:
        """What the memory has that may help; to be asked before the message is stored, or it
        would be among what is searched. Of a conversation whose question is answered again, nothing
        that came after the question."""
        within = paths_of(self._with.context, request.project)
        hits = self._recollection.of(request, conversation_id, within)
        asked = None if request.message_id is None else self._with.conversations.message(request.message_id)
        return hits if asked is None else [hit for hit in hits if not self._is_later(hit, asked)]

    def _is_later(self, found: Found, asked: Message) -> bool:
        message = self._with.conversations.message(found.item) if found.source == "message" else None
        return (
            message is not None
            and message.conversation_id == asked.conversation_id
            and message.created_at >= asked.created_at
        )

    def check_fits(self, request: ChatRequest) -> None:
        """A message that can never fit is refused before it is stored. When the model cannot be
        asked, the message is stored all the same: what was said is not lost.

        Raises:
            ContextLengthExceeded, InvalidRequest.
        """
        try:
            self.builder.check(self._request(request, created_at=now()))
        except BackendError as error:
            log.warning("A message is stored although its length cannot be checked: %s", error)

    def preview(self, request: ChatRequest, conversation_id: str) -> BuiltPrompt:
        self._with.conversations.get(conversation_id)
        return self.build(request, conversation_id, None, None, self.recalled(request, conversation_id))

    def prewarm(self) -> None:
        """Have the backend read ahead of the next question: the documents, then the conversation
        that was last active.

        Raises:
            BackendError: the model cannot be used.
        """
        self._recollection.refresh()
        latest = self._with.conversations.list(limit=1)
        conversation_id = latest[0].conversation_id if latest else DEFAULT_CONVERSATION
        request = ChatRequest.model_construct(message="", conversation_id=conversation_id)
        prompt = self.builder.prompt_ahead(self.next_request(request, conversation_id, None, None, ()))
        if prompt is not None:
            self._with.backend.prewarm(prompt)

    def build(
        self,
        request: ChatRequest,
        conversation_id: str,
        asked: Message | None,
        reason: str | None,
        found: Sequence[Found],
        shown: str = "",
    ) -> BuiltPrompt:
        """The prompt of this request; see `next_request`.

        Args:
            shown: beginning of the answer, to be continued; room is kept for it.

        Raises:
            ContextLengthExceeded, BackendError.
        """
        return self.builder.build(
            replace(self.next_request(request, conversation_id, asked, reason, found), shown=shown)
        )

    def next_request(
        self,
        request: ChatRequest,
        conversation_id: str,
        asked: Message | None,
        reason: str | None,
        found: Sequence[Found],
    ) -> PromptRequest:
        """
        Args:
            asked: the stored question; what was said before it is its history. None: it is not
                stored, and everything is.
            found: see `recalled`.

        Raises:
            BackendError: the model cannot be used.
        """
        limit = min(MAX_HISTORY_MESSAGES, self._with.backend.context_length // TOKENS_PER_MESSAGE + 2)
        messages = self._with.conversations.messages(conversation_id, limit=limit)
        history, later = _before(messages, asked)
        turns: int | None = None
        if len(messages) == limit:  # there are older ones
            asked_in_all = self._with.conversations.get(conversation_id).turn_count
            turns = max(0, asked_in_all - later - (0 if asked is None else 1))
        earlier = _as_messages(request.earlier or (), conversation_id)
        return self._request(
            request,
            created_at=now() if asked is None else asked.created_at,
            history=[*earlier, *history],
            turns_before=None
            if turns is None
            else turns + sum(message.role == Role.USER for message in earlier),
            reason=reason,
            found=found,
            summaries=None if earlier else self._left_turns.of_conversation(conversation_id),
        )

    def _request(
        self,
        request: ChatRequest,
        *,
        created_at: str,
        history: Sequence[Message] = (),
        turns_before: int | None = None,
        reason: str | None = None,
        found: Sequence[Found] = (),
        summaries: ConversationSummaries | None = None,
    ) -> PromptRequest:
        return PromptRequest(
            message=request.message,
            created_at=created_at,
            config=request.generation(self._chat_sampling()),
            explicit_max_tokens=request.max_tokens is not None,
            history=history,
            turns_before=turns_before,
            documents=self.documents(request.project),
            context=request.context,
            recalled=found,
            summaries=summaries,
            tier=self._with.tier,
            reason=self.reason(reason),
        )


def _as_messages(earlier: Sequence[EarlierMessage], conversation_id: str) -> list[Message]:
    """As if they had been stored, at a time that nobody knows."""
    return [
        Message(f"earlier {number}", conversation_id, said.role, said.content, created_at="")
        for number, said in enumerate(earlier)
    ]


def _before(messages: Sequence[Message], asked: Message | None) -> tuple[list[Message], int]:
    """The messages before a question, and how many questions came after it."""
    if asked is None:
        return list(messages), 0
    ids = [message.message_id for message in messages]
    if asked.message_id not in ids:  # an old one, asked again
        earlier = [message for message in messages if message.created_at < asked.created_at]
        return earlier, sum(message.role == Role.USER for message in messages) - len(earlier)
    place = ids.index(asked.message_id)
    later = sum(message.role == Role.USER for message in messages[place + 1 :])
    return list(messages[:place]), later

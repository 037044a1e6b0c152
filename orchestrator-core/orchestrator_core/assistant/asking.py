"""The way of a question: who answers it, what is stored, and the run that results."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from shared_context.conversations.migrations import DEFAULT_CONVERSATION
from shared_context.errors import ConversationNotFound, StoreError
from shared_context.storage.identity import new_id

from orchestrator_core.assistant.collaborators import Collaborators
from orchestrator_core.assistant.projects import documents_of
from orchestrator_core.assistant.prompting import Prompting
from orchestrator_core.assistant.reanswer_queue import Later
from orchestrator_core.assistant.repeating import NewRun, earlier_run
from orchestrator_core.assistant.tier_forwarding import TierForwarding, request_fields
from orchestrator_core.backend import Prompt
from orchestrator_core.chat_request import NEW_CONVERSATION_ID, ChatRequest
from orchestrator_core.errors import (
    AnswerNotStored,
    ApplicationError,
    Conflict,
    InvalidRequest,
    TierRefused,
    TierUnreachable,
)
from orchestrator_core.messages import Role
from orchestrator_core.prompt.builder import BuiltPrompt
from orchestrator_core.runs.manager import RunManager
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.spec import Relayed, RunSpec
from orchestrator_core.tiers import answer_ids
from orchestrator_core.tiers.relayed import RelayedSource
from orchestrator_core.tiers.remote import TierState
from orchestrator_core.tiers.router import Decision, RoutePolicy, RouteReason, route

log = logging.getLogger(__name__)

NO_ROOM = (StoreError, AnswerNotStored)
"""With these a tier says that its memory takes nothing in: nothing was kept there."""

AUTO = "auto"


class Asking:
    """Answers the questions that reach one tier. Safe from any thread.

    Args:
        later: keeps what the desktop shall answer again, or None.
    """

    def __init__(
        self,
        collaborators: Collaborators,
        prompting: Prompting,
        runs: RunManager,
        later: Later | None,
    ) -> None:
        self._with = collaborators
        self._prompting = prompting
        self._runs = runs
        self._later = later

    def ask(self, request: ChatRequest, *, reason: str | None, own_ready: Callable[[], object]) -> Run:
        """See `Assistant.ask`."""
        self._with.check_storage()
        self._check(request)
        conversation_id = request.conversation_id or DEFAULT_CONVERSATION
        message_id = request.message_id or new_id()
        run = earlier_run(request, message_id, conversation_id, self._with.conversations, self._runs)
        if isinstance(run, Run):
            return run
        self._runs.ensure_room()
        decision = self._decision(request, reason)
        if self._with.elsewhere is not None and decision.tier != self._with.tier:
            try:
                return self._ask_elsewhere(
                    self._with.elsewhere, request, message_id, conversation_id, run, decision
                )
            except TierRefused as refused:
                if decision.code is RouteReason.BUSY:
                    # What is too much there as well waits here, as it would without the other tier.
                    decision = Decision(self._with.tier, self._prompting.reason(reason), RouteReason.HOME)
                elif isinstance(refused.error, NO_ROOM) and request.tier in (None, AUTO):
                    decision = self._instead(decision.tier, "could not store it", refused)
                else:
                    raise refused.error from None
            except TierUnreachable as error:
                if request.tier not in (None, AUTO):
                    raise
                decision = self._instead(decision.tier, "did not answer", error)
        self.check_project(request)
        self._check_conversation(request, conversation_id)
        own_ready()
        return self._ask_own(request, message_id, conversation_id, run, decision)

    def route(self, requested_tier: str) -> Decision:
        """See `Assistant.route`."""
        own = TierState(self._with.tier, reachable=True, queue=self._with.backend.stats().waiting)
        elsewhere = self._with.elsewhere
        other = None if elsewhere is None else elsewhere.remote.state()
        return route(own, other, requested_tier, RoutePolicy.of(self._with.settings.relay))

    def check_project(self, request: ChatRequest) -> None:
        """
        Raises:
            DocumentNotFound, NotFound: the documents of a project are wanted that is not there.
        """
        documents_of(self._with.context, request.project)

    def source_of(self, spec: RunSpec) -> RelayedSource | None:
        """For a run that another tier answered when this server was stopped."""
        if spec.relayed is None:
            return None
        remote = None if self._with.elsewhere is None else self._with.elsewhere.remote
        return RelayedSource(self._with.tier, remote, None, self._runs.own_source, self.take_over)

    def take_over(self, run: Run, reason: str) -> RunSpec:
        """The spec with which this tier goes on with a run that another one has begun.

        Raises:
            Conflict: its question is gone. BackendError, ContextLengthExceeded.
        """
        spec = run.spec
        relayed, conversation_id = spec.relayed, spec.conversation_id
        asked = None if spec.reply_to is None else self._with.conversations.message(spec.reply_to)
        if relayed is None or conversation_id is None or asked is None:
            raise Conflict("The question was deleted.", code="question_deleted")
        request = ChatRequest.parse({**relayed.request, "message": asked.content})
        if spec.continues and not run.has_text:
            run.show(spec.continues, 0)
        built = self._prompting.build(
            request,
            conversation_id,
            asked,
            reason,
            self._prompting.recalled(
                request.model_copy(update={"message_id": asked.message_id}), conversation_id
            ),
            shown=run.text,
        )
        self._keep_for_later(request, asked.message_id)
        return replace(self._own_spec(spec, built), relayed=None)

    def _instead(self, tier: str, what: str, error: ApplicationError) -> Decision:
        """This tier answers, because of what another one said or did not say."""
        why = f"{error.message[:1].lower()}{error.message[1:].rstrip('.')}"
        return Decision(self._with.tier, f"the {tier} {what} ({why})", RouteReason.LOST)

    def _check(self, request: ChatRequest) -> None:
        request.check_size(self._with.settings.server.max_message_chars)
        if request.tier not in (None, AUTO, self._with.tier) and self._with.elsewhere is None:
            raise InvalidRequest(
                f"The tier {request.tier!r} cannot answer here: this is the {self._with.tier}.",
                hint=f"Leave 'tier' out, or give 'auto' or {self._with.tier!r}.",
                param="tier",
            )
        if request.regenerate and request.continue_answer:
            raise InvalidRequest(
                "An answer can be given anew or go on, not both.",
                param="continue_answer",
            )
        if request.asks_again and request.message_id is None:
            raise InvalidRequest(
                "Which question is it about?",
                hint="Give the message_id of the question, and its text as 'message'.",
                param="message_id",
            )

    def _check_conversation(self, request: ChatRequest, conversation_id: str) -> None:
        """
        Raises:
            ConversationNotFound. InvalidRequest: the id of a new one could not stand in a path.
        """
        try:
            self._with.conversations.get(conversation_id)
        except ConversationNotFound:
            if not request.new_conversation:
                raise
            if not re.fullmatch(NEW_CONVERSATION_ID, conversation_id):
                raise InvalidRequest(
                    f"{conversation_id!r} cannot be the id of a new conversation.",
                    hint="Use up to 128 letters, digits, dots, colons, dashes, underscores; a letter or digit first.",
                    param="conversation_id",
                ) from None

    def _decision(self, request: ChatRequest, reason: str | None) -> Decision:
        if request.via is not None:
            again = "asked again by" if request.asks_again else "asked by way of"
            why = request.because or f"{again} the {request.via}"
            return Decision(self._with.tier, why, RouteReason.PASSED_ON)
        decision = self.route(request.tier or AUTO)
        return decision if reason is None else replace(decision, reason=reason)

    def _ask_own(
        self, request: ChatRequest, message_id: str, conversation_id: str, new: NewRun, decision: Decision
    ) -> Run:
        self._prompting.check_fits(request)
        if request.new_conversation:
            self._with.conversations.create(conversation_id)
        known = request.model_copy(update={"message_id": message_id})
        recalled = self._prompting.recalled(known, conversation_id)
        asked = self._with.conversations.add_message(
            conversation_id,
            Role.USER,
            request.message,
            message_id=message_id,
            tier=request.via or self._with.tier,
        )
        if self._with.elsewhere is not None:
            self._with.elsewhere.said_here()
        built = self._prompting.build(
            request, conversation_id, asked, decision.reason, recalled, shown=new.continues
        )
        if decision.code in _IN_ITS_PLACE:
            self._keep_for_later(request, message_id)
        answer = answer_ids.own_answer(new.run_id, self._with.tier, new.former)
        spec = RunSpec(
            run_id=new.run_id,
            prompt=built.prompt,
            config=built.config,
            conversation_id=conversation_id,
            message_id=answer.message_id,
            reply_to=asked.message_id,
            tier=self._with.tier,
            model=built.receipt.model,
            reason=decision.reason,
            supersedes=answer.supersedes,
            continues=new.continues,
        )
        return self._runs.start(self._own_spec(spec, built))

    def _own_spec(self, spec: RunSpec, built: BuiltPrompt) -> RunSpec:
        form = self._prompting.builder.template.answer_format.without_calls()
        return replace(
            spec,
            prompt=built.prompt,
            config=built.config.having({"visible_tokens": list(form.tokens)}),
            answer_format=form,
            tier=self._with.tier,
            model=built.receipt.model,
            reason=built.receipt.reason,
            receipt=built.receipt.model_dump(mode="json"),
        )

    def _ask_elsewhere(
        self,
        elsewhere: TierForwarding,
        request: ChatRequest,
        message_id: str,
        conversation_id: str,
        new: NewRun,
        decision: Decision,
    ) -> Run:
        response = elsewhere.ask(request, message_id, conversation_id, decision)
        source = RelayedSource(
            self._with.tier, elsewhere.remote, response, self._runs.own_source, self.take_over
        )
        try:
            try:
                elsewhere.remember(request, message_id, conversation_id)
                is_kept = True
            except StoreError as error:
                # The other tier has it, and answers: the next exchange with room for it brings both.
                log.warning("The question is kept by the %s alone: %s", decision.tier, error.message)
                is_kept = False
            spec = self._relayed_spec(
                request, message_id, conversation_id, new, decision, response.headers, durable=is_kept
            )
        except BaseException:
            source.close()
            raise
        return self._runs.start(spec, source)

    def _relayed_spec(
        self,
        request: ChatRequest,
        message_id: str,
        conversation_id: str,
        new: NewRun,
        decision: Decision,
        headers: Mapping[str, str],
        *,
        durable: bool,
    ) -> RunSpec:
        run_id = headers.get("x-run-id") or new.run_id
        answer = answer_ids.own_answer(run_id, decision.tier, new.former)
        # The words themselves are in the conversation, where they can be deleted.
        asked_for = {name: value for name, value in request_fields(request).items() if name != "message"}
        return RunSpec(
            run_id=new.run_id,
            prompt=Prompt(()),
            config=request.generation(self._with.settings.generation),
            conversation_id=conversation_id,
            message_id=answer.message_id,
            reply_to=message_id,
            tier=decision.tier,
            model=headers.get("x-model", ""),
            reason=decision.reason,
            supersedes=answer.supersedes,
            continues=new.continues,
            durable=durable,
            relayed=Relayed(decision.tier, run_id, asked_for),
        )

    def _keep_for_later(self, request: ChatRequest, message_id: str) -> None:
        wanted = request.better_later
        if self._later is not None and (self._with.settings.relay.better_later if wanted is None else wanted):
            self._later.keep(message_id)


_IN_ITS_PLACE = frozenset(
    {RouteReason.AWAY, RouteReason.NOT_READY, RouteReason.UNSTEADY, RouteReason.BUSY, RouteReason.LOST}
)
"""Why a tier answers that the question was not meant for."""

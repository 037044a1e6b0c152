"""Assembles the prompt of one answer and the receipt of what went into it.

Order: system text, documents, history, then recalled passages with the new message. A summary
of turns that left stands in front of the first one shown. Prompt and answer together never exceed
the window, counted by the backend on the finished prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any

from shared_context.documents.context_folder import Document
from shared_context.retrieval.stopwords import telling_words_in

from orchestrator_core.backend import ChatBackend, Prompt
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.handoff.history_summary import room_of as summary_room
from orchestrator_core.handoff.history_summary import summary
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.prompt.budget import (
    SHRINK_STEPS,
    USUAL_ANSWER,
    AnswerRoom,
    answer_room,
    rounded_up,
    usual_answer,
)
from orchestrator_core.prompt.counting import TokenCounter
from orchestrator_core.prompt.cutting import Cut
from orchestrator_core.prompt.history import ConversationHistory, KeptHistory
from orchestrator_core.prompt.recalled import Recalled, choose, room_of, room_of_lasting, room_of_turn
from orchestrator_core.prompt.receipt import HistoryUse, Receipt
from orchestrator_core.prompt.request import BuiltPrompt, PromptRequest, too_long
from orchestrator_core.prompt.snapshot import Snapshot, SnapshotMaker
from orchestrator_core.prompt.template import ChatTemplate
from orchestrator_core.prompt.turns import Turn, question_text, time_line
from orchestrator_core.remembered import Remembered

__all__ = ["DEFAULT_SYSTEM_PROMPT", "BuiltPrompt", "PromptBuilder", "PromptRequest"]

DEFAULT_SYSTEM_PROMPT = (
    "You are Orchestrator, the personal assistant of your owner. Answer truthfully and to the point."
)

_SEPARATOR = "\n\n"


class PromptBuilder:
    """Builds prompts for one backend. Safe from any thread.

    In a steady conversation a prompt costs four calls of the tokenizer: the new turn alone,
    the last question and answer, and the finished prompt.

    Args:
        system_prompt: None for the default; "" for none at all.
        share: part of the window all documents together may use.
        answer_tokens: kept free for the answer where history is cut, also when a request asks for
            fewer: so its prefix does not depend on that.
        recall_share: part of it for passages recalled from elsewhere; None: chosen by the window.
        zone: for the time line of messages; None: this machine's.
    """

    def __init__(
        self,
        backend: ChatBackend,
        *,
        system_prompt: str | None = None,
        share: float = 0.5,
        answer_tokens: int = USUAL_ANSWER,
        recall_share: float | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        self.backend = backend
        self._system = (DEFAULT_SYSTEM_PROMPT if system_prompt is None else system_prompt).strip()
        self._share = share
        self._answer_tokens = answer_tokens
        self._recall_share = recall_share
        self._zone = zone
        self.template = ChatTemplate.for_backend(backend)
        self.count = TokenCounter(backend.count_tokens)
        self._snapshots = SnapshotMaker(self.count)
        self._needed: Remembered[str, int] = Remembered(64)
        self._turn_frame: int | None = None

    def check(self, request: PromptRequest) -> AnswerRoom:
        """Room for the answer when everything that can be left out is left out.

        Raises:
            ContextLengthExceeded: the message alone, or with the max_tokens asked for, can
                never fit the window.
        """
        return self._room(request, self._needed_tokens(request))

    def build(self, request: PromptRequest) -> BuiltPrompt:
        """The prompt with as much of documents and history as fits.

        Raises:
            ContextLengthExceeded: as `check`.
        """
        needed = self._needed_tokens(request)
        room = self._room(request, needed)
        window = self.backend.context_length
        for plan in self._plans(request, room, needed):
            prompt = self._render(request, plan)
            tokens = self._count(request, prompt)
            plan.excess = tokens + room.max_new_tokens - window
            if plan.excess <= 0:
                return self._with_recalled(request, plan, room) or self._built(
                    request, plan, prompt, tokens, room
                )
        raise too_long(window, needed, room.max_new_tokens, request.explicit_max_tokens)

    def _with_recalled(self, request: PromptRequest, plan: _Plan, room: AnswerRoom) -> BuiltPrompt | None:
        """The prompt of this plan with what fits of the recalled passages; None without any."""
        free = -plan.excess
        shown = [plan.snapshot.text, request.message, request.context or ""]
        shown += [plan.summary, *(text for turn in plan.history.turns for text in turn.texts)]
        room_here = room_of_turn(
            self._recall_room(),
            plan.snapshot.tokens + plan.history.tokens,
            first=not plan.history.turns,
        )
        budget = min(room_here, free)
        words = telling_words_in(request.message)
        plan.recalled = (
            choose(
                request.recalled,
                shown,
                words,
                budget,
                self.count,
                for_lasting=room_of_lasting(room_here, free),
            )
            if budget > 0
            else Recalled()
        )
        while plan.recalled.uses:
            prompt = self._render(request, plan)
            tokens = self._count(request, prompt)
            if tokens + room.max_new_tokens <= self.backend.context_length:
                return self._built(request, plan, prompt, tokens, room)
            plan.recalled = plan.recalled.without_last
        return None

    def _recall_room(self) -> int:
        """Tokens kept for recalled passages, the same every turn, so that history does not move."""
        return room_of(self.backend.context_length, self._recall_share)

    def documents_prompt(self, documents: Sequence[Document]) -> Prompt | None:
        """The prefix that all prompts with these documents share, for prewarming; None if empty."""
        snapshot = self._snapshot(documents, SHRINK_STEPS[0])
        if not snapshot.text:
            return None
        system = self._system_message(snapshot, 0)
        stable = len(system.content)
        whole = self.template.render([system, ChatMessage(Role.USER, "x")], stable_chars=stable)
        return _prefix(whole, whole.stable_prefix)

    def prompt_ahead(self, request: PromptRequest) -> Prompt | None:
        """What the next prompt of a conversation begins with: documents and history, up to the new
        message. For prewarming; None when there is nothing.

        Args:
            request: with an empty message.

        Raises:
            ContextLengthExceeded: as `check`.
        """
        if not request.history:
            return self.documents_prompt(request.documents)
        prompt = self.build(request).prompt
        newest = prompt.text.rfind(time_line(request.created_at, self._zone))
        return _prefix(prompt, max(newest, prompt.stable_prefix))

    def cut(self, document: Document, max_tokens: int) -> tuple[Cut, int]:
        """What of one document fits `max_tokens`, and how many tokens the whole has."""
        return self._snapshots.cut(document, max_tokens)

    def build_messages(
        self,
        messages: Sequence[ChatMessage],
        config: GenerationConfig,
        *,
        tools: Sequence[dict[str, Any]] = (),
        today: datetime | None = None,
        tier: str = "desktop",
        reason: str = "",
        shown: str = "",
    ) -> BuiltPrompt:
        """A prompt of exactly these messages; nothing is added and nothing dropped.

        Args:
            shown: beginning of the answer, to be continued: no part of the prompt, but room in
                the window is kept for it.

        Raises:
            ContextLengthExceeded: they do not fit.
        """
        prompt = self.template.render(messages, tools=tools, today=today, begun=bool(shown))
        return self._fitted(prompt, config, tier, reason, shown)

    def build_raw(
        self,
        text: str,
        config: GenerationConfig,
        *,
        tier: str = "desktop",
        reason: str = "",
    ) -> BuiltPrompt:
        """`text` as it stands; only a BOS the backend adds by itself is not doubled.

        Raises:
            ContextLengthExceeded: it does not fit.
        """
        special = self.backend.special_tokens()
        if special.adds_bos and special.bos:
            text = text.removeprefix(special.bos)
        return self._fitted(Prompt.raw(text), config, tier, reason)

    def _fitted(
        self,
        prompt: Prompt,
        config: GenerationConfig,
        tier: str,
        reason: str,
        shown: str = "",
    ) -> BuiltPrompt:
        window = self.backend.context_length
        tokens = self.backend.count_prompt(prompt)
        if shown:
            tokens += self.backend.count_tokens(shown)
        free = window - tokens
        if free < 1:
            raise too_long(window, tokens, 1, False)
        most = config.limit(free)
        room = AnswerRoom(most, config.max_new_tokens if config.max_new_tokens != most else None)
        config = _limited(config, room)
        receipt = self._receipt(tier, reason, config, tokens, room)
        return BuiltPrompt(prompt, receipt, config, tokens)

    def _room(self, request: PromptRequest, needed: int) -> AnswerRoom:
        """
        Raises:
            ContextLengthExceeded: see `check`.
        """
        window, wanted = self.backend.context_length, request.config.max_new_tokens
        room = answer_room(window, wanted, explicit=request.explicit_max_tokens, needed=needed)
        if room is None:
            raise too_long(window, needed, wanted or USUAL_ANSWER, request.explicit_max_tokens)
        return room

    def _plans(self, request: PromptRequest, room: AnswerRoom, needed: int) -> Iterator[_Plan]:
        """What to keep, best first. The caller notes the excess of a plan that did not fit;
        the last plan is what `check` has counted, so it fits."""
        window = self.backend.context_length
        history = ConversationHistory(
            request.history, request.turns_before, self._turn_cost, window, self._zone
        )
        for step in SHRINK_STEPS:
            snapshot = self._snapshot(request.documents, step)
            if needed + snapshot.tokens + room.max_new_tokens > window:
                continue
            answer = max(room.max_new_tokens, usual_answer(window, self._answer_tokens))
            budget = window - answer - snapshot.tokens - rounded_up(needed, window)
            budget -= self._recall_room()
            while True:
                kept = history.kept(budget, summary_room(window))
                plan = _Plan(snapshot, kept, summary=self._summary(request, kept))
                yield plan
                if not plan.history.turns and not plan.history.reserved:
                    break
                budget = min(budget, kept.tokens + kept.reserved) - max(plan.excess, 1)
        yield _Plan(self._snapshot(request.documents, 0.0), history.none(), silent=True)

    def _render(self, request: PromptRequest, plan: _Plan) -> Prompt:
        system = self._system_message(plan.snapshot, 0 if plan.silent else plan.history.dropped)
        asked = question_text(
            request.message,
            request.created_at,
            recalled=plan.recalled.text,
            context=request.context,
            zone=self._zone,
        )
        messages = [message for turn in plan.history.turns for message in turn.messages]
        messages.append(ChatMessage(Role.USER, asked))
        if plan.summary:
            first = _SEPARATOR.join((plan.summary, messages[0].content))
            messages[0] = replace(messages[0], content=first)
        if not system.content:
            return self.template.render(messages)
        stable = len(self._system_message(plan.snapshot, 0).content)
        return self.template.render([system, *messages], stable_chars=stable)

    def _summary(self, request: PromptRequest, kept: KeptHistory) -> str:
        if not kept.reserved or not kept.left:
            return ""
        if request.summaries is not None:
            return request.summaries.of(kept.left, kept.dropped, kept.reserved, self.count)
        return summary(kept.left, kept.reserved, self.count)

    def _system_message(self, snapshot: Snapshot, dropped: int) -> ChatMessage:
        note = f"[{dropped} earlier messages of this conversation are left out.]" if dropped else ""
        parts = (self._system, snapshot.text, note)
        return ChatMessage(Role.SYSTEM, _SEPARATOR.join(part for part in parts if part))

    def _snapshot(self, documents: Sequence[Document], step: float) -> Snapshot:
        budget = int(self.backend.context_length * self._share * step)
        return self._snapshots.make(documents, budget)

    def _needed_tokens(self, request: PromptRequest) -> int:
        """Tokens of system text and new message alone, as one prompt."""
        bare = _Plan(Snapshot("", 0, ()), KeptHistory(), silent=True)
        prompt = self._render(request, bare)
        texts = "\0".join((request.shown, *prompt.pieces))
        key = hashlib.blake2b(texts.encode("utf-8", "surrogatepass")).hexdigest()
        return self._needed.get(key, lambda: self._count(request, prompt))

    def _count(self, request: PromptRequest, prompt: Prompt) -> int:
        """Tokens of the prompt and of the beginning of its answer."""
        return self.backend.count_prompt(prompt) + (self.count(request.shown) if request.shown else 0)

    def _turn_cost(self, turn: Turn) -> int:
        return sum(self.count(text) for text in turn.texts) + self._frame_tokens()

    def _frame_tokens(self) -> int:
        """Tokens the template puts around a question and its answer."""
        if self._turn_frame is None:
            asked, answer = ChatMessage(Role.USER, "a"), ChatMessage(Role.ASSISTANT, "a")
            short = self.backend.count_prompt(self.template.render([asked]))
            long = self.backend.count_prompt(self.template.render([asked, answer, asked]))
            self._turn_frame = max(0, long - short - 2 * self.backend.count_tokens("a"))
        return self._turn_frame

    def _built(
        self, request: PromptRequest, plan: _Plan, prompt: Prompt, tokens: int, room: AnswerRoom
    ) -> BuiltPrompt:
        history, config = plan.history, _limited(request.config, room)
        stable = prompt.text[: prompt.stable_prefix]
        receipt = self._receipt(request.tier, request.reason, config, tokens, room).model_copy(
            update={
                "snapshot": hashlib.sha256(stable.encode("utf-8", "replace")).hexdigest()[:16],
                "documents": plan.snapshot.documents,
                "history": HistoryUse(
                    kept=history.message_count,
                    dropped=history.dropped,
                    tokens=history.tokens,
                    summary_tokens=self.count(plan.summary),
                ),
                "retrieved": plan.recalled.uses,
            }
        )
        return BuiltPrompt(prompt, receipt, config, tokens)

    def _receipt(
        self, tier: str, reason: str, config: GenerationConfig, tokens: int, room: AnswerRoom
    ) -> Receipt:
        about = self.backend.describe()
        return Receipt(
            tier=tier,
            model=about.model,
            adapter=about.adapter,
            base=about.base,
            reason=reason,
            prompt_tokens=tokens,
            max_tokens=config.limit(self.backend.context_length - tokens),
            max_tokens_lowered_from=room.lowered_from,
        )


@dataclass(slots=True)
class _Plan:
    """What a prompt shall hold besides system text and message.

    Args:
        silent: without the line that tells how much history is missing; there is no room.
        excess: tokens over the window, noted when the finished prompt has been counted.
        recalled: passages that stand in the newest turn.
        summary: of the turns that are missing; "" for none.
    """

    snapshot: Snapshot
    history: KeptHistory
    silent: bool = False
    excess: int = 0
    recalled: Recalled = Recalled()  # noqa: RUF009 -- frozen
    summary: str = ""


def _prefix(prompt: Prompt, length: int) -> Prompt:
    """The first characters alone, cut at the same places."""
    pieces: list[str] = []
    left = length
    for piece in prompt.pieces:
        if left <= 0:
            break
        pieces.append(piece[:left])
        left -= len(piece)
    return Prompt(tuple(pieces), stable_prefix=prompt.stable_prefix, edition=prompt.edition)


def _limited(config: GenerationConfig, room: AnswerRoom) -> GenerationConfig:
    """An answer without a limit keeps none: it may have all that is free when it gets there."""
    if config.max_new_tokens is None:
        return config
    return config.model_copy(update={"max_new_tokens": room.max_new_tokens})

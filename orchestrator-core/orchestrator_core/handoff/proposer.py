"""Asks the answering model for a session's items, in the background where it can."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from shared_context.conversations.messages import Message

from orchestrator_core.errors import OrchestratorError
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.handoff import proposals
from orchestrator_core.handoff.item import HandoffItem
from orchestrator_core.handoff.item_line import ItemLine
from orchestrator_core.messages import ChatMessage
from orchestrator_core.remembered import Remembered
from orchestrator_core.runs.run import Run

log = logging.getLogger(__name__)

PATIENCE_S = 30.0
"""For the parts of a session that were not read ahead: the owner waits for these."""
AHEAD_S = 600.0
"""For one part in the background."""
PARTS_KEPT = 64
ANSWER_TOKENS = 1_024
POLL_S = 0.2

Complete = Callable[[Sequence[ChatMessage], GenerationConfig], Run]


@dataclass(frozen=True, slots=True)
class ProposingModel:
    """
    Args:
        complete: starts an answer to exactly these messages.
        count: tokens of a text.
        window: tokens that prompt and answer may have together.
        busy: whether somebody waits for an answer; work in the background gives way.
    """

    complete: Complete
    count: Callable[[str], int]
    window: int
    busy: Callable[[], bool]


class Proposer:
    """Safe from any thread. What was asked of a part of a session is remembered, so that ending the session
    asks only about the rest.

    Args:
        model: called before each use: the one that answers now, or None where none is fit for this.
    """

    def __init__(
        self, model: Callable[[], ProposingModel | None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._model = model
        self._now = now
        self._known: Remembered[str, list[HandoffItem]] = Remembered(PARTS_KEPT)

    def items(
        self, session: Sequence[Message], open_items: Sequence[ItemLine], today: date
    ) -> tuple[list[HandoffItem], list[Message], list[str]]:
        """What the model found in a session.

        Returns:
            The items; the messages that it did not get to read, for the extract; and notes for the owner.
        """
        model = self._model()
        if model is None:
            return [], list(session), []
        deadline = self._now() + PATIENCE_S
        items: list[HandoffItem] = []
        parts = self._parts(session, model)
        for position, part in enumerate(parts):
            try:
                items += self._of_part(model, part, open_items, today, lambda: self._now() > deadline)
            except (OrchestratorError, TimeoutError) as error:
                log.info("A part of a session was not read by the model: %s", error)
                unread = [message for rest in parts[position:] for message in rest]
                why = getattr(error, "message", f"it took longer than {PATIENCE_S:g} s")
                return items, unread, [f"{len(unread)} messages were read without the model: {why}"]
        return items, [], []

    def read_ahead(self, session: Sequence[Message], open_items: Sequence[ItemLine], today: date) -> None:
        """Ask about the parts that are complete, as long as nobody waits for an answer."""
        model = self._model()
        if model is None:
            return
        deadline = self._now() + AHEAD_S
        for part in self._parts(session, model)[:-1]:
            if model.busy():
                return
            try:
                self._of_part(model, part, open_items, today, lambda: model.busy() or self._now() > deadline)
            except (OrchestratorError, TimeoutError) as error:
                log.info("A part of a session could not be read ahead: %s", error)
                return

    def _parts(self, session: Sequence[Message], model: ProposingModel) -> list[Sequence[Message]]:
        room = model.window - ANSWER_TOKENS - model.count(proposals.INSTRUCTION)
        return proposals.windows(session, max(256, room // 2), model.count)

    def _of_part(
        self,
        model: ProposingModel,
        part: Sequence[Message],
        open_items: Sequence[ItemLine],
        today: date,
        give_up: Callable[[], bool],
    ) -> list[HandoffItem]:
        name = hashlib.sha256("\0".join(message.message_id for message in part).encode()).hexdigest()
        known = self._known.find(name)
        if known is not None:
            return known
        config = GenerationConfig(
            max_new_tokens=ANSWER_TOKENS,
            temperature=0.0,
            repetition_penalty=1.0,
            json_schema=proposals.schema(),
        )
        answer = _answer(model.complete(proposals.question(part, open_items, today), config), give_up)
        items, dropped = proposals.checked(answer, part, (item.item_id for item in open_items))
        log.info(
            "The model proposed %d items of a session; %d without proof were dropped.", len(items), dropped
        )
        self._known.put(name, items)
        return items


def _answer(run: Run, give_up: Callable[[], bool]) -> str:
    """
    Raises:
        TimeoutError: given up. OrchestratorError: the answer failed.
    """
    while True:
        try:
            result = run.wait(timeout=POLL_S)
            break
        except TimeoutError:
            if give_up():
                run.cancel()
                raise
    if result.error is not None:
        raise result.error
    return result.text

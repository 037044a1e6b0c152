"""A message that is sent twice is stored and answered once.

A client that lost its connection cannot know whether its message arrived. When it chose the
message's id itself, it may simply send it again. The run's id is derived from the message's, and
starting a run is idempotent by id, so two copies that arrive together find the same run as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from shared_context.conversations.messages import Message
from shared_context.conversations.store import ConversationStore

from orchestrator_core.backend import FinishReason, Prompt
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import Conflict, NotFound
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.runs.event_log import Entry
from orchestrator_core.runs.manager import RunManager
from orchestrator_core.runs.producer import done_fields
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.spec import RunResult, RunSpec, RunState
from orchestrator_core.runs.store import RunRecord
from orchestrator_core.tiers import answer_ids


@dataclass(frozen=True, slots=True)
class NewRun:
    """
    Args:
        run_id: that the run shall have.
        former: message_id of the answer that is to be given again.
        continues: text of that answer, with which the new one begins.
    """

    run_id: str
    former: str | None = None
    continues: str = ""


def earlier_run(
    request: ChatRequest,
    message_id: str,
    conversation_id: str,
    conversations: ConversationStore,
    runs: RunManager,
) -> Run | NewRun:
    """The run that answers or has answered this message, or what its new run shall be.

    A run that failed without a word is not taken for an answer: the message may be tried again.

    Args:
        message_id: of the request, or made for it.

    Raises:
        Conflict: the id belongs to another message, or to a deleted one; or there is no answer to continue.
    """
    if request.message_id is None:
        return NewRun(answer_ids.run_id(message_id, 0))
    _check_same(request, conversation_id, message_id, conversations)
    answer = conversations.answer_to(message_id)
    if answer is not None and not request.asks_again:
        return _run_of(answer, runs)
    if request.continue_answer and (answer is None or not answer.content):
        raise Conflict("This question has no answer that could go on.", param="continue_answer")
    former = None if answer is None else answer.message_id
    for attempt in count():  # pragma: no branch
        run_id = answer_ids.run_id(message_id, attempt, former)
        try:
            run = runs.get(run_id)
        except NotFound:
            break
        if run.state not in (RunState.FAILED, RunState.CANCELLED):
            return run
    continues = answer.content if request.continue_answer and answer is not None else ""
    return NewRun(run_id, former, continues)


def _run_of(answer: Message, runs: RunManager) -> Run:
    """The answer's run; when that was forgotten, or was another tier's, one that says the same."""
    run_id = answer.run_id or answer_ids.replayed_run_id(answer.message_id)
    try:
        return runs.get(run_id)
    except NotFound:
        return runs.adopt(_told_again(answer, run_id))


def _told_again(answer: Message, run_id: str) -> RunRecord:
    receipt = answer.receipt or {}
    spec = RunSpec(
        run_id=run_id,
        prompt=Prompt(()),
        config=GenerationConfig(),
        conversation_id=answer.conversation_id,
        message_id=answer.message_id,
        reply_to=answer.reply_to,
        tier=answer.tier or "",
        model=answer.model or "",
        reason=str(receipt.get("reason") or ""),
        receipt={"tier": answer.tier or "", "model": answer.model or "", **receipt},
        supersedes=answer.supersedes,
    )
    result = RunResult(RunState.DONE, FinishReason.STOP, text=answer.content, message_id=answer.message_id)
    done = {**done_fields(spec, result), "timestamp": answer.created_at}
    text: list[tuple[int, Entry]] = [(1, answer.content)] if answer.content else []
    return RunRecord(
        spec=spec,
        state=RunState.DONE,
        events=[*text, (len(text) + 1, ("done", done))],
        produced=0,
        result=result,
        created_at=answer.created_at,
        finished_at=answer.created_at,
    )


def _check_same(
    request: ChatRequest, conversation_id: str, message_id: str, conversations: ConversationStore
) -> None:
    if conversations.is_deleted(message_id):
        raise Conflict("The message with this id was deleted.", param="message_id")
    stored = conversations.message(message_id)
    if stored is None:
        return
    if (stored.conversation_id, stored.content) != (conversation_id, request.message):
        raise Conflict(
            f"The id {message_id!r} belongs to another message.",
            hint="Give every message an id of its own, and send it again unchanged.",
            param="message_id",
        )

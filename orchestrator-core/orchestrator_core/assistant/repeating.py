"""A message that is sent twice is stored and answered once.

A client that lost its connection cannot know whether its message arrived. When it chose the
message's id itself, it may simply send it again. The run's id is derived from the message's, and
starting a run is idempotent by id, so two copies that arrive together find the same run as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from shared_context.conversations import ConversationStore
from shared_context.messages import Message

from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import Conflict, NotFound
from orchestrator_core.runs.manager import RunManager
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.spec import RunState
from orchestrator_core.tiers import answer_ids


@dataclass(frozen=True, slots=True)
class NewRun:
    """
    Args:
        run_id: that the run shall have.
        former: message_id of the answer that is to be given again.
    """

    run_id: str
    former: str | None = None


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
        Conflict: the id belongs to another message, to a deleted one, or to one whose run was
            forgotten since.
    """
    if request.message_id is None:
        return NewRun(answer_ids.run_id(message_id, 0))
    _check_same(request, conversation_id, message_id, conversations)
    answer = conversations.answer_to(message_id)
    if answer is not None and not request.regenerate:
        return _run_of(answer, runs)
    former = None if answer is None else answer.message_id
    for attempt in count():  # pragma: no branch
        run_id = answer_ids.run_id(message_id, attempt, former)
        try:
            run = runs.get(run_id)
        except NotFound:
            break
        if run.state not in (RunState.FAILED, RunState.CANCELLED):
            return run
    return NewRun(run_id, former)


def _run_of(answer: Message, runs: RunManager) -> Run:
    try:
        return runs.get(answer.run_id or "")
    except NotFound as error:
        raise Conflict(
            "This message was answered long ago.",
            code="already_answered",
            hint=f"Read the answer in the conversation {answer.conversation_id!r}.",
            param="message_id",
        ) from error


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

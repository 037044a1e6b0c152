"""`/chat` and `/chat/stream`: a message in a conversation, and the answer to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Response
from orchestrator_core.chat_request import ChatRequest

from orchestrator_http.api import EVENTS, Api
from orchestrator_http.routes.asking import STREAM_ERRORS, full_answer, streamed_answer
from orchestrator_http.schemas.chat import ChatAnswer
from orchestrator_http.services import services

if TYPE_CHECKING:
    from orchestrator_core.runs.run import Run

api = Api("chat", scope="ask", answered_by="here", for_desktop="source")

CHAT_ERRORS = (409, *STREAM_ERRORS)


@api.route("POST", "/chat", summary="Ask, and wait for the whole answer", errors=CHAT_ERRORS)
def chat(body: ChatRequest) -> ChatAnswer:
    """A client that leaves does not end the run: its answer is stored, and `/runs/<id>` has it."""
    _check(body)
    return ChatAnswer.model_validate(full_answer(_asking(body), load=False))


@api.route(
    "POST",
    "/chat/stream",
    summary="Ask, and stream the answer",
    errors=CHAT_ERRORS,
    media=(EVENTS,),
)
def stream(body: ChatRequest) -> Response:
    """The header X-Run-Id names the run: watch it again from any offset with `/runs/<id>/stream`."""
    _check(body)
    return streamed_answer(_asking(body), load=False)


def _asking(body: ChatRequest) -> Callable[[], Run]:
    """Another tier may answer, so the model here is waited for only when it does not."""
    here = services()
    return lambda: here.assistant.ask(body, own_ready=here.model.ensure)


def _check(body: ChatRequest) -> None:
    """What can be refused without the model is, before anyone waits for it."""
    body.check_size(services().settings.server.max_message_chars)

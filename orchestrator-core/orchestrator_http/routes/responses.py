"""OpenAI's `/v1/responses`, translated by `contracts.responses`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from flask import Response
from orchestrator_core.errors import NotFound
from orchestrator_core.runs.run import Run
from pydantic import Field

from orchestrator_http.api import EVENTS, JSON, Api
from orchestrator_http.completions.chat_answers import chat_completions
from orchestrator_http.completions.deltas import Delta
from orchestrator_http.contracts import responses
from orchestrator_http.contracts.responses import ResponsesRequest, ResponseWriter
from orchestrator_http.routes.asking import STREAM_ERRORS
from orchestrator_http.routes.completing import collected_completions, streamed_completions
from orchestrator_http.schemas.common import JsonObject, Parameters
from orchestrator_http.services import services

api = Api("responses", scope="ask", answered_by="any_model")


class ResponsePath(Parameters):
    response_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,200}$")


@api.route(
    "POST",
    "/v1/responses",
    summary="Answer in OpenAI's newer words",
    errors=(404, *STREAM_ERRORS),
    media=(JSON, EVENTS),
    answer=JsonObject,
)
def create(body: ResponsesRequest) -> JsonObject | Response:
    """A response is kept for `previous_response_id` as long as the server runs and there is room, unless
    `store` is false."""
    before = _kept(body.previous_response_id)["messages"] if body.previous_response_id else []
    messages = responses.messages_of(body, before)
    makes = chat_completions(responses.as_chat(body, messages))

    kept = services().responses

    def keep(response: dict[str, Any]) -> None:
        if body.store is not False:
            history = [*messages, *responses.said(response["output"])]
            kept.put(response["id"], json.dumps({"messages": history, "response": response}))

    def frames(runs: Sequence[Run], answers: Sequence[Iterator[Delta]]) -> Iterator[bytes]:
        for frame, response in ResponseWriter(body, runs[0].run_id, runs[0].spec.model).events(answers[0]):
            if response is not None:
                keep(response)
            yield frame

    if body.stream:
        return streamed_completions(makes, frames)
    ((run, completion),) = collected_completions(makes)
    response = ResponseWriter(body, run.run_id, run.spec.model).whole(completion)
    keep(response)
    return JsonObject(response)


@api.route("GET", "/v1/responses/<response_id>", summary="A response that is kept", errors=(404,))
def show(path: ResponsePath) -> JsonObject:
    return JsonObject(_kept(path.response_id)["response"])


def _kept(response_id: str) -> dict[str, Any]:
    """
    Raises:
        NotFound
    """
    text = services().responses.find(response_id)
    if text is None:
        raise NotFound(
            f"There is no response {response_id[:80]!r} here any more.",
            hint="Send the whole conversation as input.",
            code="previous_response_not_found",
        )
    kept: dict[str, Any] = json.loads(text)
    return kept

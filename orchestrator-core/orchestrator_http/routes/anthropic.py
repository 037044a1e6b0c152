"""Anthropic's `/v1/messages`, translated by `contracts.anthropic`."""

from __future__ import annotations

from flask import Response

from orchestrator_http.api import EVENTS, JSON, Api
from orchestrator_http.completions.chat_answers import chat_completions, prompt_tokens
from orchestrator_http.contracts import anthropic
from orchestrator_http.routes.asking import STREAM_ERRORS
from orchestrator_http.routes.completing import collected_completions, streamed_completions
from orchestrator_http.schemas.common import JsonObject

api = Api("anthropic", scope="ask", answered_by="any_model")


@api.route(
    "POST",
    "/v1/messages",
    summary="Answer messages in Anthropic's words",
    errors=STREAM_ERRORS,
    media=(JSON, EVENTS),
    answer=JsonObject,
)
def messages(body: anthropic.MessagesRequest) -> JsonObject | Response:
    """The key may come as `x-api-key`. Blocks of text, `tool_use` and `tool_result` are understood."""
    makes = chat_completions(anthropic.as_chat(body))
    if body.stream:
        return streamed_completions(
            makes, lambda runs, answers: anthropic.events(runs[0].run_id, runs[0].spec.model, answers[0])
        )
    ((run, completion),) = collected_completions(makes)
    return JsonObject(anthropic.whole(run.run_id, run.spec.model, completion))


@api.route(
    "POST", "/v1/messages/count_tokens", summary="Count a prompt in the model's tokens", errors=(502, 504)
)
def count_tokens(body: anthropic.MessagesPrompt) -> JsonObject:
    """Of the bare model, with its own template."""
    return JsonObject({"input_tokens": prompt_tokens(anthropic.as_chat(body))})

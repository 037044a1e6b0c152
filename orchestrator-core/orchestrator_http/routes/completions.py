"""`/v1/chat/completions` and `/v1/completions`.

Nothing is stored, unless the assistant is asked: these clients keep their own history.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from flask import Response
from orchestrator_core.backend import ChatBackend
from orchestrator_core.errors import InvalidRequest, Unsupported
from orchestrator_core.runs.run import Run

from orchestrator_http.api import EVENTS, JSON, Api
from orchestrator_http.completions.chat_answers import (
    chat_completions,
    continuation,
    for_choice,
    infilled,
    refuse_assistant,
    with_logprobs,
)
from orchestrator_http.completions.deltas import Collected
from orchestrator_http.completions.logprobs import text_logprobs
from orchestrator_http.completions.openai_stream import chat_choice, chat_chunks, text_chunks, usage_in_all
from orchestrator_http.routes.asking import STREAM_ERRORS
from orchestrator_http.routes.completing import collected_completions, streamed_completions
from orchestrator_http.schemas.openai import ChatCompletionRequest, TextCompletionRequest
from orchestrator_http.schemas.openai_answers import (
    ChatCompletion,
    TextChoice,
    TextCompletion,
    usage_of,
)
from orchestrator_http.services import services

DEFAULT_TEXT_TOKENS = 16
"""Of `/v1/completions`, as OpenAI publishes it. An answer to messages is as long as the window lets it be."""

chat_api = Api("chat-completions", scope="ask", answered_by="any_model")
text_api = Api("text-completions", scope="ask", answered_by="any_model")


@chat_api.route(
    "POST",
    "/v1/chat/completions",
    summary="Answer a list of messages",
    errors=STREAM_ERRORS,
    media=(JSON, EVENTS),
    answer=ChatCompletion,
)
def chat(body: ChatCompletionRequest) -> ChatCompletion | Response:
    """With `stream`, OpenAI's chunks, ended by `data: [DONE]`. Arguments of tool calls always
    satisfy the tool's schema. If the last message is the assistant's, the answer continues it and
    is only what follows. The model `orchestrator` is the assistant: it stores the question and its answer."""
    makes = chat_completions(body)
    if body.stream:
        return streamed_completions(
            makes,
            lambda runs, answers: chat_chunks(
                _head(runs[0], "chatcmpl", "chat.completion.chunk"), answers, body.wants_usage
            ),
        )
    answers = collected_completions(makes)
    return ChatCompletion(
        **_head(answers[0][0], "chatcmpl", "chat.completion"),
        choices=[chat_choice(index, completion) for index, (_, completion) in enumerate(answers)],
        usage=usage_of(usage_in_all([completion.usage for _, completion in answers])),
    )


@text_api.route(
    "POST",
    "/v1/completions",
    summary="Continue a raw prompt",
    errors=STREAM_ERRORS,
    media=(JSON, EVENTS),
    answer=TextCompletion,
)
def text(body: TextCompletionRequest) -> TextCompletion | Response:
    """The prompt is sent as it stands, or with `suffix` in the form that the model fills in; control tokens in
    either are honoured. Several prompts are answered side
    by side."""
    refuse_assistant(body.model)
    here = services()
    prompts = texts_of(body.prompt, here.assistant.backend)
    defaults = here.assistant.api_sampling().having({"max_new_tokens": DEFAULT_TEXT_TOKENS})
    config = body.generation(defaults)
    if "max_tokens" in body.model_fields_set and body.max_tokens is None:
        config = config.having({"max_new_tokens": None})
    config = with_logprobs(config, body.logprobs)
    if body.logprobs is not None and body.echo:
        raise Unsupported("How likely the prompt's tokens are is not told: leave echo out.", param="echo")
    wanted, made = body.n or 1, max(body.best_of or 1, body.n or 1)
    if made > wanted:
        if body.stream:
            raise InvalidRequest("best_of cannot be streamed: the best is known at the end.", param="best_of")
        config = with_logprobs(config, body.logprobs or 0, param="best_of")
    asked = [prompt for prompt in prompts for _ in range(made)]
    shown = [prompt if body.echo else "" for prompt in asked]
    makes = [
        continuation(infilled(prompt, body.suffix), for_choice(config, number))
        for number, prompt in enumerate(asked)
    ]
    if body.stream:
        return streamed_completions(
            makes,
            lambda runs, answers: text_chunks(
                _head(runs[0], "cmpl", "text_completion"), answers, body.wants_usage, shown
            ),
        )
    answers = collected_completions(makes)
    chosen = [
        place
        for start in range(0, len(answers), made)
        for place in _likeliest(
            [completion for _, completion in answers[start : start + made]], wanted, start
        )
    ]
    return TextCompletion(
        **_head(answers[0][0], "cmpl", "text_completion"),
        choices=[
            TextChoice(
                index=index,
                text=shown[place] + answers[place][1].text,
                finish_reason=answers[place][1].reason,
                logprobs=None if body.logprobs is None else text_logprobs(answers[place][1].logprobs),
            )
            for index, place in enumerate(chosen)
        ],
        usage=usage_of(usage_in_all([completion.usage for _, completion in answers], several_prompts=True)),
    )


def _likeliest(answers: Sequence[Collected], wanted: int, start: int) -> list[int]:
    """Places of the answers whose tokens were the likeliest on average, likeliest first.

    Args:
        start: place of the first one.
    """
    if len(answers) == wanted:
        return list(range(start, start + wanted))
    means = [
        sum(each.logprob for each in completion.logprobs) / max(1, len(completion.logprobs))
        for completion in answers
    ]
    best = sorted(range(len(answers)), key=lambda place: -means[place])[:wanted]
    return [start + place for place in best]


def texts_of(given: Any, backend: ChatBackend) -> list[str]:
    """What a client sent as one or several texts, or as the numbers of tokens.

    Raises:
        InvalidRequest, Unsupported: there are no such tokens.
    """
    if isinstance(given, str):
        return [given]
    several: Sequence[Any] = [given] if isinstance(given[0], int) else given
    return [each if isinstance(each, str) else backend.text_of(each) for each in several]


def _head(run: Run, prefix: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{run.run_id}",
        "object": kind,
        "created": int(time.time()),
        "model": run.spec.model,
    }

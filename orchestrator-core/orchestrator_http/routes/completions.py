"""`/v1/chat/completions` and `/v1/completions`.

Nothing is stored: these clients keep their own history.
"""

from __future__ import annotations

import time
from typing import Any

from flask import Response
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.runs.run import Run

from orchestrator_http.api import EVENTS, JSON, Api
from orchestrator_http.completion import Completion
from orchestrator_http.openai_messages import (
    answer_begun,
    chat_config,
    chat_messages,
    forced_tool,
    toolbox,
)
from orchestrator_http.openai_stream import chat_choice, chat_chunks, text_chunks
from orchestrator_http.routes.asking import STREAM_ERRORS
from orchestrator_http.routes.completing import Watch, collected_completion, streamed_completion
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

chat_api = Api("chat-completions", answered_by="any_model")
text_api = Api("text-completions", answered_by="any_model")


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
    is only what follows."""
    here = services()
    messages = chat_messages(body.messages)
    asked, shown = answer_begun(messages)
    box = toolbox(body)
    config = chat_config(body, here.assistant.api_sampling())

    def start(config: GenerationConfig) -> Run:
        tools = box.tools if box else ()
        if box is not None and config.json_schema is not None:
            # A forced call stands alone: no text before it follows the grammar.
            return here.assistant.complete(messages, config, tools)
        return here.assistant.complete(asked, config, tools, shown=shown)

    def make(watch: Watch) -> Completion:
        return Completion(
            start,
            watch,
            config,
            shown=shown,
            toolbox=box,
            forced=forced_tool(body),
            parallel=body.parallel_tool_calls is not False,
            sure=here.assistant.backend.holds_to if body.stream else lambda schema: False,
        )

    if body.stream:
        return streamed_completion(
            make,
            lambda run, deltas: chat_chunks(
                _head(run, "chatcmpl", "chat.completion.chunk"), deltas, body.wants_usage
            ),
        )
    run, found = collected_completion(make)
    return ChatCompletion(
        **_head(run, "chatcmpl", "chat.completion"),
        choices=[chat_choice(found)],
        usage=usage_of(found.usage),
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
    """The prompt is sent as it stands; control tokens in it are honoured."""
    here = services()
    prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
    shown = prompt if body.echo else ""
    defaults = here.assistant.api_sampling().having({"max_new_tokens": DEFAULT_TEXT_TOKENS})
    config = body.generation(defaults)

    def start(config: GenerationConfig) -> Run:
        return here.assistant.continue_text(prompt, config)

    def make(watch: Watch) -> Completion:
        return Completion(start, watch, config)

    if body.stream:
        return streamed_completion(
            make,
            lambda run, deltas: text_chunks(
                _head(run, "cmpl", "text_completion"), deltas, body.wants_usage, shown
            ),
        )
    run, found = collected_completion(make)
    return TextCompletion(
        **_head(run, "cmpl", "text_completion"),
        choices=[TextChoice(text=shown + found.text, finish_reason=found.reason)],
        usage=usage_of(found.usage),
    )


def _head(run: Run, prefix: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{run.run_id}",
        "object": kind,
        "created": int(time.time()),
        "model": run.spec.model,
    }

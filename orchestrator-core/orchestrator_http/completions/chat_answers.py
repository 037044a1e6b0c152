"""The one way from a chat request of any contract to its answers.

Every contract's request becomes a `ChatCompletionRequest`, and every answer is told from a completion's
deltas; what is between is here. The model `orchestrator` is the assistant, with documents, recall and a stored
conversation; any other name is the bare model, which gets exactly the messages that were sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from flask import request as flask_request
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import InvalidRequest, Unsupported
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.text.answer_format import AnswerFormat
from pydantic_core import from_json

from orchestrator_http.completions.completion import Completion
from orchestrator_http.completions.openai_messages import (
    answer_begun,
    chat_config,
    chat_messages,
    forced_tool,
    toolbox,
)
from orchestrator_http.completions.stateless_chats import QuestionPlace, Sending, named_place, place_of
from orchestrator_http.schemas.openai import ChatCompletionRequest, CompletionFields
from orchestrator_http.services import services

if TYPE_CHECKING:
    from orchestrator_core.runs.run import Run
    from orchestrator_core.runs.spec import RunEvent

ASSISTANT = "orchestrator"
"""The name under which every client finds the assistant; every other name is the bare model's, in every route."""

Watch = Callable[["Run"], "Iterator[RunEvent | None]"]
Make = Callable[[Watch], Completion]
"""Makes a completion, given how to watch its runs; nothing is started yet."""

_FOR_BARE_MODELS = {
    "tools": "takes no tools",
    "response_format": "holds to no schema",
    "json_schema": "holds to no schema",
    "grammar": "holds to no grammar",
    "logit_bias": "takes no biases",
    "presence_penalty": "takes no penalties but repetition_penalty",
    "frequency_penalty": "takes no penalties but repetition_penalty",
    "logprobs": "tells no probabilities",
    "top_logprobs": "tells no probabilities",
}


def is_for_assistant(body: bytes) -> bool:
    """Whether a request of any contract, as it came, asks the assistant: its answer is stored, so that not any
    desktop may give it, and not twice."""
    if ASSISTANT.encode() not in body:
        return False
    try:
        fields = from_json(body)
    except ValueError:
        return False
    model = fields.get("model") if isinstance(fields, dict) else None
    return isinstance(model, str) and means_assistant(model)


def means_assistant(model: str | None) -> bool:
    """Whether a request that names this model is for the assistant. Ollama's clients put a tag behind every name."""
    return model is not None and model.partition(":")[0] == ASSISTANT


def refuse_assistant(model: str | None) -> None:
    """
    Raises:
        InvalidRequest: a raw prompt is for the assistant.
    """
    if means_assistant(model):
        raise InvalidRequest(
            f"The model {ASSISTANT!r} answers messages, not raw prompts.",
            hint="Send messages, or name another model: every other name is the bare model's.",
            param="model",
        )


def chat_completions(body: ChatCompletionRequest) -> list[Make]:
    """One completion for each of the `n` answers.

    Raises:
        InvalidRequest: a field cannot be used, or not with this model.
        BackendError: the model cannot be used.
    """
    return [_asked(body)] if means_assistant(body.model) else _completed(body)


def text_completion(prompt: str, body: CompletionFields) -> Make:
    """The continuation of a raw prompt."""
    here = services()
    return continuation(prompt, body.generation(here.assistant.api_sampling()))


def infilled(prompt: str, suffix: str | None) -> str:
    """The raw prompt after which a model writes what lies between the two; without a suffix, the prompt itself.

    Raises:
        Unsupported: this model was not trained for it.
    """
    if not suffix:
        return prompt
    marks = services().assistant.backend.special_tokens().infill
    if not marks:
        raise Unsupported(
            "This model has no tokens to fill in the middle of a text: leave suffix out.", param="suffix"
        )
    before, after, middle = marks
    return f"{before}{prompt}{after}{suffix}{middle}"


def continuation(prompt: str, config: GenerationConfig) -> Make:
    here = services()

    def start(config: GenerationConfig) -> Run:
        here.model.ensure()
        return here.assistant.continue_text(prompt, config)

    return lambda watch: Completion(start, watch, config)


def with_logprobs(config: GenerationConfig, top: int | None, *, param: str = "logprobs") -> GenerationConfig:
    """
    Args:
        top: how many of the likeliest tokens to tell of beside each; None: tell nothing.
        param: the field that asks for it.

    Raises:
        Unsupported: this model does not tell.
    """
    if top is None:
        return config
    here = services()
    here.model.ensure()
    if not here.assistant.backend.gives_logprobs:
        raise Unsupported(
            "This server's model does not tell how likely its tokens are.",
            hint=f"Leave {param!r} out, or let llama.cpp run the model (model.backend: llama_cpp).",
            param=param,
        )
    return config.having({"top_logprobs": top})


def prompt_tokens(body: ChatCompletionRequest) -> int:
    """Tokens of the prompt that the bare model would get."""
    here = services()
    here.model.ensure()
    asked, _ = answer_begun(chat_messages(body.messages))
    box = toolbox(body)
    prompt = here.assistant.builder.template.render(asked, tools=box.tools if box else ())
    return here.assistant.backend.count_prompt(prompt)


def for_choice(config: GenerationConfig, number: int) -> GenerationConfig:
    """Answers of one request differ, also with a seed."""
    return config if config.seed is None else config.having({"seed": (config.seed + number) % 2**32})


def _completed(body: ChatCompletionRequest) -> list[Make]:
    here = services()
    messages = chat_messages(body.messages)
    asked, shown = answer_begun(messages)
    box = toolbox(body)
    config = with_logprobs(chat_config(body, here.assistant.api_sampling()), body.wanted_logprobs)
    sure = here.assistant.backend.holds_to if body.stream else lambda schema: False

    def start(config: GenerationConfig) -> Run:
        here.model.ensure()
        tools = box.tools if box else ()
        if box is not None and config.json_schema is not None:
            # A forced call stands alone: no text before it follows the grammar.
            return here.assistant.complete(messages, config, tools)
        return here.assistant.complete(asked, config, tools, shown=shown)

    def form() -> AnswerFormat:
        here.model.ensure()
        return here.assistant.builder.template.answer_format

    def make(number: int) -> Make:
        return lambda watch: Completion(
            start,
            watch,
            for_choice(config, number),
            shown=shown,
            toolbox=box,
            forced=forced_tool(body),
            parallel=body.parallel_tool_calls is not False,
            form=form,
            sure=sure,
        )

    return [make(number) for number in range(body.n or 1)]


def _asked(body: ChatCompletionRequest) -> Make:
    here = services()
    request = assistant_request(body)
    request.check_size(here.settings.server.max_message_chars)

    def start(config: GenerationConfig) -> Run:
        return here.assistant.ask(request, own_ready=here.model.ensure)

    return lambda watch: Completion(start, watch, GenerationConfig(), kept=True)


def assistant_request(body: ChatCompletionRequest) -> ChatRequest:
    """
    Raises:
        InvalidRequest: the request has what the assistant does not take.
    """
    for name, why in _FOR_BARE_MODELS.items():
        value = getattr(body, name)
        if value and not (name == "response_format" and value.type == "text"):
            raise InvalidRequest(
                f"The model {ASSISTANT!r} {why}.",
                hint="Use the bare model, the first of /v1/models.",
                param=name,
            )
    if (body.n or 1) > 1:
        raise InvalidRequest(f"The model {ASSISTANT!r} gives one answer.", param="n")
    messages = chat_messages(body.messages)
    context = "\n\n".join(message.content for message in messages if message.role is Role.SYSTEM)
    spoken = [message for message in messages if message.role in (Role.USER, Role.ASSISTANT)]
    if not spoken or spoken[-1].role is not Role.USER:
        raise InvalidRequest("The last message must be the user's: it is the question.", param="messages")
    place = _place(body, spoken)
    fields: dict[str, Any] = {
        name: getattr(body, name)
        for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "stop", "seed")
    }
    return ChatRequest.parse(
        {
            **fields,
            "max_tokens": body.max_completion_tokens or body.max_tokens,
            "message": spoken[-1].content,
            "context": context or None,
            "conversation_id": place.conversation_id,
            "new_conversation": True,
            "message_id": place.message_id or None,
            "regenerate": place.again,
            "earlier": [{"role": role, "content": text} for role, text in place.earlier] or None,
        }
    )


def _place(body: ChatCompletionRequest, spoken: list[ChatMessage]) -> QuestionPlace:
    conversations, sending = services().assistant.conversations, Sending.of(flask_request.headers.get)
    named = (body.metadata or {}).get("conversation_id")
    if named is None:
        return place_of(spoken, conversations, sending)
    if not isinstance(named, str):
        raise InvalidRequest("metadata.conversation_id must be a text.", param="metadata")
    return named_place(named, spoken[-1], conversations, sending)

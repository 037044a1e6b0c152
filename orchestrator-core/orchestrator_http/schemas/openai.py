"""Requests of the OpenAI-compatible routes.

Unknown fields are ignored, as clients expect; fields of the published API that change the answer and are not
implemented are refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from orchestrator_core.chat_request import FilledText, SamplingFields, StopText, Text
from orchestrator_core.errors import InvalidRequest
from orchestrator_core.generation import (
    MAX_BIASES,
    MAX_NEW_TOKENS,
    MAX_STOPS,
    MAX_TOP_LOGPROBS,
    GenerationConfig,
)
from pydantic import AfterValidator, BeforeValidator, Field

from orchestrator_http.completions.json_schemas import is_too_deep
from orchestrator_http.schemas.common import Body

MAX_MESSAGES = 10_000
MAX_TOOLS = 128
MAX_EMBEDDING_INPUTS = 2048
"""OpenAI's own limits for tools and inputs."""

MAX_CHOICES = 16
"""Answers of one request; they are produced side by side."""

MAX_PROMPT_TOKENS = 1_000_000

ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


def _limit(value: object) -> object:
    """-1 is many clients' word for no limit; what is more than any window holds is cut there anyway."""
    if type(value) is not int:
        return value
    return None if value == -1 else min(value, MAX_NEW_TOKENS)


def _seed(value: object) -> object:
    """Any integer, as published; -1 is many clients' word for none."""
    if type(value) is not int:
        return value
    return None if value == -1 else value % 2**32


def _unless_false(value: object) -> object:
    return None if value is False else value


def _stops(value: object) -> object:
    """Without empty texts, which stop nothing."""
    if isinstance(value, list):
        return [text for text in value if text != ""]
    return value or None


def _shallow(text: str) -> str:
    if is_too_deep(text):
        raise ValueError("is nested too deep")
    return text


def only_text(part: object) -> object:
    """
    Raises:
        InvalidRequest: the part is no text; said at once, or the other forms of content would be named.
    """
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and kind not in _TEXT_PARTS:
        noun = next(
            (noun for word, noun in _MEDIA.items() if word in kind), f"parts of the type {kind[:40]!r}"
        )
        raise InvalidRequest(f"This model takes no {noun}, only text.", param="messages")
    if kind == "refusal" and isinstance(part, dict):
        return {"type": "text", "text": part.get("refusal")}
    return part


_TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal"})
_MEDIA = {"image": "images", "audio": "audio", "video": "video", "file": "files", "document": "files"}

Limit = Annotated[int | None, Field(ge=1, le=MAX_NEW_TOKENS), BeforeValidator(_limit)]
TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=MAX_PROMPT_TOKENS)]


class TextPart(Body):
    type: str
    text: Text


Content = Text | Annotated[list[Annotated[TextPart, BeforeValidator(only_text)]], Field(max_length=1000)]


class SystemMessage(Body):
    role: Literal["system", "developer"]
    content: Content
    name: str | None = None


class UserMessage(Body):
    role: Literal["user"]
    content: Content
    name: str | None = None


class CalledFunction(Body):
    name: ToolName
    arguments: Annotated[Text, AfterValidator(_shallow)] = Field(description="JSON, as text.")


class ToolCall(Body):
    id: str = Field(min_length=1, max_length=200)
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantMessage(Body):
    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=MAX_TOOLS)] | None = None
    name: str | None = None
    reasoning_content: str | None = None


class ToolMessage(Body):
    role: Literal["tool"]
    content: Content
    tool_call_id: str = Field(min_length=1, max_length=200)
    name: str | None = None


AnyMessage = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


class FunctionFields(Body):
    name: ToolName
    description: Text | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of the arguments.")


class Tool(Body):
    type: Literal["function"]
    function: FunctionFields


class ChosenFunction(Body):
    name: ToolName


class ToolChoice(Body):
    type: Literal["function"]
    function: ChosenFunction


class SchemaFields(Body):
    name: str = Field(min_length=1, max_length=64)
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class TextFormat(Body):
    type: Literal["text"]


class ObjectFormat(Body):
    type: Literal["json_object"]
    schema_: dict[str, Any] | None = Field(
        None, alias="schema", description="As llama-server's clients send it."
    )


class SchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: SchemaFields


ResponseFormat = Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")]


class StreamOptions(Body):
    include_usage: bool | None = None


class CompletionFields(SamplingFields, Body):
    """What both kinds of completion take."""

    model: Annotated[str, Field(max_length=500)] | None = Field(
        None, description="Taken as a wish: the answer names the model that was used."
    )
    n: int | None = Field(None, ge=1, le=MAX_CHOICES, description="Answers to make, side by side.")
    max_tokens: Limit = Field(None, description="Longest answer, in tokens; -1: what the window leaves.")
    seed: Annotated[int | None, BeforeValidator(_seed)] = None
    stop: Annotated[
        StopText | Annotated[list[StopText], Field(max_length=MAX_STOPS)] | None, BeforeValidator(_stops)
    ] = Field(None, description="The answer ends before the first of these.")
    presence_penalty: float | None = Field(None, ge=-2.0, le=2.0, allow_inf_nan=False)
    frequency_penalty: float | None = Field(None, ge=-2.0, le=2.0, allow_inf_nan=False)
    logit_bias: (
        Annotated[
            dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], Annotated[float, Field(ge=-100, le=100)]],
            Field(max_length=MAX_BIASES),
        ]
        | None
    ) = Field(None, description="Added to the logits of these tokens of the model's vocabulary.")
    grammar: Annotated[Text, Field(max_length=200_000)] | None = Field(
        None, description="llama.cpp's grammar (GBNF) that the answer must follow."
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    def generation(self, defaults: GenerationConfig) -> GenerationConfig:
        fields: dict[str, Any] = {
            name: value
            for name in ("presence_penalty", "frequency_penalty", "grammar")
            if (value := getattr(self, name)) is not None
        }
        if self.logit_bias:
            fields["logit_bias"] = {int(token): bias for token, bias in self.logit_bias.items()}
        return super().generation(defaults).having(fields)

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatCompletionRequest(CompletionFields):
    REFUSED: ClassVar = {
        "functions": "it is the old form of tools",
        "function_call": "it is the old form of tool_choice",
        "audio": "the model writes text only",
        "web_search_options": "there is no web search",
    }
    messages: list[AnyMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: Limit = None
    metadata: dict[str, Any] | None = Field(
        None, description="`conversation_id`: of the assistant's conversation that the request belongs to."
    )
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = Field(None, description="False: at most one call.")
    response_format: ResponseFormat | None = None
    json_schema: dict[str, Any] | None = Field(
        None, description="llama-server's short form of a response_format of this schema."
    )
    logprobs: bool | None = Field(None, description="Tell how likely each token was.")
    top_logprobs: int | None = Field(
        None, ge=0, le=MAX_TOP_LOGPROBS, description="And so many of the likeliest; needs logprobs."
    )

    @property
    def wanted_logprobs(self) -> int | None:
        """
        Raises:
            InvalidRequest: the likeliest are wanted without the tokens'.
        """
        if self.logprobs:
            return self.top_logprobs or 0
        if self.top_logprobs:
            raise InvalidRequest("top_logprobs needs logprobs: true.", param="top_logprobs")
        return None


class TextCompletionRequest(CompletionFields):
    prompt: (
        FilledText
        | TokenIds
        | Annotated[list[FilledText], Field(min_length=1, max_length=MAX_CHOICES)]
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_CHOICES)]
    ) = Field(description="One or several, each a text or the numbers of tokens of the model's vocabulary.")
    suffix: Text | None = Field(
        None, description="What follows after what is to be written; for models with tokens for it."
    )
    echo: bool | None = None
    best_of: int | None = Field(
        None, ge=1, le=MAX_CHOICES, description="Make so many and give the `n` likeliest of them."
    )
    logprobs: Annotated[int | None, Field(ge=0, le=MAX_TOP_LOGPROBS), BeforeValidator(_unless_false)] = Field(
        None, description="Tell how likely each token was, and so many of the likeliest."
    )


class EmbeddingRequest(Body):
    input: (
        FilledText
        | TokenIds
        | Annotated[list[FilledText], Field(min_length=1, max_length=MAX_EMBEDDING_INPUTS)]
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_EMBEDDING_INPUTS)]
    )
    dimensions: int | None = Field(None, ge=1, description="Only as many as the model's vectors have.")
    model: Annotated[str, Field(max_length=500)] | None = None
    encoding_format: Literal["float", "base64"] | None = None

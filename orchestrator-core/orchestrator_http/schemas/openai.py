"""Requests of the OpenAI-compatible routes. Unknown fields are ignored, as clients expect."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from orchestrator_core.chat_request import FilledText, SamplingFields, Text
from orchestrator_core.generation import MAX_NEW_TOKENS
from pydantic import Field

from orchestrator_http.schemas.common import Body

MAX_MESSAGES = 10_000
MAX_TOOLS = 128
MAX_EMBEDDING_INPUTS = 2048
"""OpenAI's own limits for tools and inputs."""

ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class TextPart(Body):
    type: Literal["text", "input_text"]
    text: Text


Content = Text | Annotated[list[TextPart], Field(max_length=1000)]


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
    arguments: Text = Field(description="JSON, as text.")


class ToolCall(Body):
    id: str = Field(min_length=1, max_length=200)
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantMessage(Body):
    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=MAX_TOOLS)] | None = None
    name: str | None = None


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


class SchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: SchemaFields


ResponseFormat = Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")]


class StreamOptions(Body):
    include_usage: bool | None = None


class CompletionFields(SamplingFields):
    """What both kinds of completion take."""

    model: Annotated[str, Field(max_length=500)] | None = Field(
        None, description="Taken as a wish: the answer names the model that was used."
    )
    n: int | None = Field(None, ge=1, le=1, description="Only 1 is possible.")
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatCompletionRequest(CompletionFields):
    messages: list[AnyMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: int | None = Field(None, ge=1, le=MAX_NEW_TOKENS)
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = Field(None, description="False: at most one call.")
    response_format: ResponseFormat | None = None


class TextCompletionRequest(CompletionFields):
    prompt: FilledText | Annotated[list[FilledText], Field(min_length=1, max_length=1)]
    echo: bool | None = None
    best_of: int | None = Field(None, ge=1, le=1, description="Only 1 is possible.")


class EmbeddingRequest(Body):
    input: FilledText | Annotated[list[FilledText], Field(min_length=1, max_length=MAX_EMBEDDING_INPUTS)]
    model: Annotated[str, Field(max_length=500)] | None = None
    encoding_format: Literal["float", "base64"] | None = None

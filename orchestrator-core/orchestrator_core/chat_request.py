"""What clients may ask: the bodies of `POST /chat` and `POST /generate`.

Unknown fields are ignored, so that a newer client can talk to an older server. Known
fields are strict: `"max_tokens": "12"` is a mistake of the caller and is refused,
never guessed at. The same classes give the OpenAPI document its schemas.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr, ValidationError

from orchestrator_core.errors import InvalidRequest, PayloadTooLarge
from orchestrator_core.generation import MAX_NEW_TOKENS, MAX_STOPS, GenerationConfig

MAX_TEXT_CHARS = 4 * 1024 * 1024
"""Bound of any text field; servers set a lower one for messages (`server.max_message_chars`)."""

MAX_EARLIER = 10_000


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty or only white space")
    return text


Text = Annotated[StrictStr, Field(max_length=MAX_TEXT_CHARS)]
FilledText = Annotated[Text, AfterValidator(_not_blank)]
StopText = Annotated[StrictStr, Field(min_length=1, max_length=256)]
NEW_CONVERSATION_ID = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
"""Narrower than what the memory accepts, so that each can stand in a path."""
Name = Annotated[StrictStr, Field(min_length=1, max_length=128)]


class SamplingFields(BaseModel):
    """Limits and sampling of one request; an absent or null field takes the server's default."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    max_tokens: int | None = Field(None, ge=1, le=MAX_NEW_TOKENS, description="Longest answer, in tokens.")
    temperature: float | None = Field(None, ge=0.0, le=5.0, allow_inf_nan=False, description="0 is greedy.")
    top_p: float | None = Field(None, ge=0.0, le=1.0, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=0, le=1_000_000, description="0 switches it off.")
    min_p: float | None = Field(None, ge=0.0, le=1.0, allow_inf_nan=False)
    repetition_penalty: float | None = Field(None, gt=0.0, le=10.0, allow_inf_nan=False)
    stop: StopText | Annotated[list[StopText], Field(max_length=MAX_STOPS)] | None = Field(
        None, description="The answer ends before the first of these."
    )
    seed: int | None = Field(None, ge=0, le=2**32 - 1)

    def generation(self, defaults: GenerationConfig) -> GenerationConfig:
        """`defaults` with the fields of this request put over them.

        A temperature above 0 or another sampling field given by the caller lifts a
        `greedy` default: who asks for sampling gets it.
        """
        asked: dict[str, Any] = {}
        for field in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed"):
            value = getattr(self, field)
            if value is not None:
                asked[field] = value
        if self.max_tokens is not None:
            asked["max_new_tokens"] = self.max_tokens
        if self.stop is not None:
            asked["stop"] = [self.stop] if isinstance(self.stop, str) else list(self.stop)
        if self.temperature:
            asked["greedy"] = False
        return defaults.having(asked)

    @classmethod
    def parse(cls, body: object) -> Self:
        """The request in a decoded JSON body.

        Raises:
            InvalidRequest: names the field, the value and what is accepted.
        """
        if not isinstance(body, dict):
            raise InvalidRequest(
                "The request body must be a JSON object.", hint=f"For example {cls._example()}."
            )
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise invalid_request(error) from error

    @classmethod
    def _example(cls) -> str:
        return '{"message": "Hello"}'


class EarlierMessage(BaseModel):
    """Something that was said before the stored conversation begins."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    role: Literal["user", "assistant"]
    content: Text


class ChatRequest(SamplingFields):
    """Body of `POST /chat` and `POST /chat/stream`."""

    message: FilledText = Field(description="What the user says.")
    conversation_id: Name | None = Field(None, description="Absent or null: the default conversation.")
    new_conversation: bool = Field(
        False,
        description="The conversation_id was chosen by the client for a conversation that begins with this"
        " message, once it is accepted. One that exists goes on.",
    )
    message_id: Name | None = Field(
        None, description="Chosen by the client: a message sent again with the same id is answered once."
    )
    context: Text | None = Field(None, description="Extra system text for this answer only; not stored.")
    earlier: Annotated[list[EarlierMessage], Field(max_length=MAX_EARLIER)] | None = Field(
        None,
        description="What was said before the stored conversation begins; for this answer only, not stored.",
    )
    tier: Literal["auto", "desktop", "vps"] | None = Field(None, description="Who shall answer.")
    project: Name | None = Field(None, description="Whose documents to use; default: the active project.")
    regenerate: bool = Field(
        False,
        description="With the message_id of a stored question: answer it again, with what was said before it.",
    )
    continue_answer: bool = Field(
        False,
        description="With the message_id of a stored question: its answer goes on where it ended. The answer"
        " then stored is the whole one and takes the place of the former.",
    )
    better_later: bool | None = Field(
        None,
        description="When another tier answers in the desktop's place: have the desktop answer too, when it"
        " is back. Default: the server's setting.",
    )
    via: Literal["desktop", "vps", "phone"] | None = Field(
        None, description="The tier that passes the question on; who gets it answers it itself."
    )
    because: StopText | None = Field(
        None, description="With `via`: why this tier is to answer. It becomes the answer's reason."
    )

    @property
    def asks_again(self) -> bool:
        """Whether a stored question is to get another answer in the place of the one it has."""
        return self.regenerate or self.continue_answer

    def check_size(self, max_chars: int) -> None:
        """Raises PayloadTooLarge when `message` or `context` has more than `max_chars` characters."""
        for field in ("message", "context"):
            check_size(field, getattr(self, field), max_chars)


class GenerateRequest(SamplingFields):
    """Body of `POST /generate`: a raw prompt, sent to the model as it stands."""

    prompt: FilledText = Field(description="For example: [INST] What is a handoff? [/INST]")

    def check_size(self, max_chars: int) -> None:
        """Raises PayloadTooLarge when `prompt` has more than `max_chars` characters."""
        check_size("prompt", self.prompt, max_chars)

    @classmethod
    def _example(cls) -> str:
        return '{"prompt": "[INST] Hello [/INST]"}'


def check_size(field: str, text: str | None, max_chars: int) -> None:
    """Raises PayloadTooLarge when `text` has more than `max_chars` characters."""
    if text is not None and len(text) > max_chars:
        raise PayloadTooLarge(
            f"{field!r} has {len(text):,} characters; this server accepts {max_chars:,}.",
            hint="Shorten it, or raise server.max_message_chars in the configuration.",
        )


def invalid_request(error: ValidationError) -> InvalidRequest:
    """A validation error in words for people: the field, what is wrong, what was given."""
    problem = error.errors(include_url=False)[0]
    place = [part for part in problem["loc"] if isinstance(part, int) or not _is_union_branch(part)]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    given = problem.get("input")
    shown = "" if problem["type"] == "missing" else f" (given: {_shorten(given)})"
    message = _WORDS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    message = message.format(**problem.get("ctx", {})) if problem["type"] in _WORDS else message
    return InvalidRequest(
        f"The field {field!r} {message}{shown}.",
        param=str(place[0]) if place else None,
        hint=_HINTS.get(field),
    )


_WORDS = {
    "missing": "is missing",
    "string_type": "must be a text",
    "string_unicode": "contains half a surrogate pair, which is no character",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "list_type": "must be a list",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_pattern_mismatch": "has a form that is not accepted here, which is {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be {expected}",
}

_HINTS = {
    "stop": f"Give one text or a list of up to {MAX_STOPS} non-empty texts.",
    "filename": "A name that ends in .json, of letters, digits, dots, dashes and underscores; no folders.",
    "conversation_id": "Up to 128 letters, digits, dots, colons, dashes and underscores; a letter or digit first.",
}


def _is_union_branch(part: str) -> bool:
    """pydantic names the branch of `stop: text | list` in the error's place; people need not see it."""
    return part.startswith(("list[", "function-", "constrained-")) or part == "str"


def _shorten(value: object) -> str:
    if isinstance(value, str):
        value = value if len(value) <= 60 else value[:57] + "..."
        return ascii(value) if any(0xD800 <= ord(c) <= 0xDFFF for c in value) else repr(value)
    text = repr(value) if not isinstance(value, int) or value.bit_length() < 200 else "a very large number"
    return text if len(text) <= 60 else text[:57] + "..."

"""How an answer is sampled: one validated set of fields for every backend.

`GenerationConfig` starts neutral: what a published API gives a client that asks for nothing, the
model's own distribution. `ChatSampling` starts from this program's taste, for its own conversations only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MAX_NEW_TOKENS = 1_000_000
"""Above any window in use: a larger request is a mistake, not a wish."""

MAX_STOPS = 16
MAX_TOP_LOGPROBS = 20
"""OpenAI's own limit."""
MAX_BIASES = 1024
LogitBias = Annotated[float, Field(ge=-100.0, le=100.0)]
StopText = Annotated[str, Field(min_length=1, max_length=256)]


class GenerationConfig(BaseModel):
    """Sampling and limits for one answer.

    Fields follow the names of Hugging Face's GenerationConfig; HTTP requests map
    `max_tokens` onto `max_new_tokens`. Assignments are validated. `model_fields_set` are the
    fields that somebody asked for: weaker advice never replaces those.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    max_new_tokens: int | None = Field(None, ge=1, le=MAX_NEW_TOKENS)
    """Upper bound of the answer, in tokens; None: what the window leaves."""
    temperature: float = Field(1.0, ge=0.0, le=5.0)
    """0 means greedy."""
    top_p: float = Field(1.0, ge=0.0, le=1.0)
    """Nucleus sampling: smallest set of tokens with this probability mass; 0: the likeliest alone."""
    top_k: int = Field(0, ge=0, le=1_000_000)
    """Only the k most likely tokens; 0 switches it off."""
    min_p: float = Field(0.0, ge=0.0, le=1.0)
    """Drops tokens below this fraction of the most likely one's probability."""
    repetition_penalty: float = Field(1.0, gt=0.0, le=10.0)
    """Divides the logits of recent tokens; 1 switches it off."""
    presence_penalty: float = Field(0.0, ge=-2.0, le=2.0)
    """Subtracted from the logits of tokens that the answer has already."""
    frequency_penalty: float = Field(0.0, ge=-2.0, le=2.0)
    """The same, once for each time it has them."""
    logit_bias: dict[int, LogitBias] = Field(default_factory=dict, max_length=MAX_BIASES)
    """Added to the logits of these tokens of the model's vocabulary."""
    stop: list[StopText] = Field(default_factory=list, max_length=MAX_STOPS)
    """The answer ends before the first of these."""
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    """Same seed, prompt and model: same answer."""
    greedy: bool = False
    """Always the most likely token; ignores temperature, top_p, top_k and min_p."""
    grammar: str | None = Field(None, max_length=200_000)
    """GBNF grammar the answer must follow."""
    json_schema: dict[str, Any] | None = None
    """JSON schema the answer must satisfy."""
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    """Tell how likely each token was, and so many of the likeliest beside it; None: do not."""
    visible_tokens: list[str] = Field(default_factory=list)
    """Control tokens that the answer's text shall contain where the model says them; others have no text."""

    @model_validator(mode="after")
    def _one_constraint(self) -> GenerationConfig:
        if self.grammar is not None and self.json_schema is not None:
            raise ValueError("grammar and json_schema exclude each other: give one of them")
        return self

    def having(self, fields: Mapping[str, Any]) -> Self:
        """With these fields set, validated.

        Raises:
            pydantic.ValidationError
        """
        return type(self).model_validate(self.model_dump(exclude_unset=True) | dict(fields))

    def advised(self, suggested: Mapping[str, float]) -> Self:
        """With a model's own suggestions in the fields nobody has set; nonsense in them is ignored."""
        try:
            return self.having(
                {name: value for name, value in suggested.items() if name not in self.model_fields_set}
            )
        except ValidationError:
            return self

    @property
    def wanted(self) -> dict[str, Any]:
        """The fields that somebody set, or that differ from neutral sampling. Another server is told
        only these: the rest is its own to decide."""
        neutral = GenerationConfig.model_fields
        return {
            name: value
            for name, value in self.model_dump().items()
            if name in self.model_fields_set or value != neutral[name].get_default(call_default_factory=True)
        }

    def limit(self, room: int) -> int:
        """Tokens the answer may have where the window leaves `room`."""
        return room if self.max_new_tokens is None else min(self.max_new_tokens, room)

    @property
    def deterministic(self) -> bool:
        """Whether the same request must give the same answer."""
        return self.is_greedy or self.seed is not None

    @property
    def is_greedy(self) -> bool:
        return self.greedy or self.temperature == 0.0 or self.top_p == 0.0


class ChatSampling(GenerationConfig):
    """How this program's own conversations are sampled where the owner says nothing."""

    temperature: float = Field(0.7, ge=0.0, le=5.0)
    top_p: float = Field(0.9, ge=0.0, le=1.0)
    top_k: int = Field(50, ge=0, le=1_000_000)
    repetition_penalty: float = Field(1.15, gt=0.0, le=10.0)

    @model_validator(mode="before")
    @classmethod
    def _from_plain(cls, value: object) -> object:
        """What somebody set of a plain configuration; the rest is this class's."""
        return value.model_dump(exclude_unset=True) if type(value) is GenerationConfig else value

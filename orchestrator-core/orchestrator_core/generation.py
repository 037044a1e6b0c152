"""How an answer is sampled: one validated set of fields for every backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MAX_NEW_TOKENS = 1_000_000
"""Above any window in use: a larger request is a mistake, not a wish."""

MAX_STOPS = 16
StopText = Annotated[str, Field(min_length=1, max_length=256)]


class GenerationConfig(BaseModel):
    """Sampling and limits for one answer.

    Fields follow the names of Hugging Face's GenerationConfig; HTTP requests map
    `max_tokens` onto `max_new_tokens`. Assignments are validated.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    max_new_tokens: int = Field(512, ge=1, le=MAX_NEW_TOKENS)
    """Upper bound of the answer, in tokens."""
    temperature: float = Field(0.7, ge=0.0, le=5.0)
    """0 means greedy."""
    top_p: float = Field(0.9, gt=0.0, le=1.0)
    """Nucleus sampling: smallest set of tokens with this probability mass."""
    top_k: int = Field(50, ge=0, le=1_000_000)
    """Only the k most likely tokens; 0 switches it off."""
    min_p: float = Field(0.0, ge=0.0, le=1.0)
    """Drops tokens below this fraction of the most likely one's probability."""
    repetition_penalty: float = Field(1.15, gt=0.0, le=10.0)
    """Divides the logits of recent tokens; 1 switches it off."""
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

    @model_validator(mode="after")
    def _one_constraint(self) -> GenerationConfig:
        if self.grammar is not None and self.json_schema is not None:
            raise ValueError("grammar and json_schema exclude each other: give one of them")
        return self

    def advised(self, suggested: Mapping[str, float]) -> GenerationConfig:
        """With a model's own suggestions in the fields nobody has set; nonsense in them is ignored."""
        fitting = {name: value for name, value in suggested.items() if name not in self.model_fields_set}
        try:
            return GenerationConfig.model_validate(self.model_dump() | fitting)
        except ValidationError:
            return self

    @property
    def deterministic(self) -> bool:
        """Whether the same request must give the same answer."""
        return self.greedy or self.temperature == 0.0 or self.seed is not None

    @property
    def is_greedy(self) -> bool:
        return self.greedy or self.temperature == 0.0

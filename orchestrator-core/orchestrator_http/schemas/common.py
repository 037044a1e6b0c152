"""Pieces several bodies share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from orchestrator_core.errors import InvalidRequest
from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""Ids of runs and versions: a name, never a path."""

ConversationId = Annotated[str, Field(min_length=1, max_length=200)]
"""As the memory accepts them."""


class Body(BaseModel):
    """A request body: unknown fields are ignored, known ones are strict."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)
    REFUSED: ClassVar[Mapping[str, str]] = {}
    """Fields of the published API that would change the answer and cannot be had, and why."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_by_name(cls, fields: object) -> object:
        for name, why in cls.REFUSED.items():
            if isinstance(fields, dict) and fields.get(name):
                raise InvalidRequest(f"The field {name!r} is not supported: {why}.", param=name)
        return fields


class Answer(BaseModel):
    """A part of an answer, made also of objects with its fields: those of memory and of thinking."""

    model_config = ConfigDict(from_attributes=True)


class Parameters(BaseModel):
    """Path, query or header values: text, turned into what the field is."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class UsageFields(Answer):
    """Tokens, counted by the model's own tokenizer."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


class JsonObject(RootModel[dict[str, Any]]):
    """An answer in a form that somebody else publishes."""

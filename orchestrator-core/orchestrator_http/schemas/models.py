"""Bodies of `/models`: the registry, what is active, and models on their way here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from orchestrator_http.schemas.common import Body, Parameters
from orchestrator_http.schemas.errors import ErrorFields

NAME = r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$"


class ModelVersionPath(Parameters):
    name: str = Field(pattern=NAME)
    version: str = Field(pattern=NAME)

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.version}"


class FilePath(ModelVersionPath):
    file: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$")


class Offset(Parameters):
    offset: int = Field(ge=0, description="Where the part begins, in bytes: as much of the file as is there.")


class FileFields(BaseModel):
    name: str
    size: int = Field(description="Bytes.")
    sha256: str


class VersionAnswer(BaseModel):
    reference: str = Field(description="name:version")
    name: str
    version: str
    active: bool
    size: int = Field(description="Bytes of all files.")
    files: list[FileFields]
    base: str | None = Field(description="Of an adapter: the model it belongs to.")
    base_sha256: str | None
    source: str
    licence: str
    dataset_sha256: str | None
    recipe: dict[str, Any]
    metrics: dict[str, Any]
    parity: dict[str, Any]
    tiers: list[str] = Field(description="On whose usual machines it fits.")
    created_at: str


class ActivationAnswer(BaseModel):
    """How the latest activation is going. What was active before stays so unless the state is `done`."""

    state: Literal["none", "running", "done", "failed"]
    reference: str | None = Field(description="Null: the model that the settings name.")
    error: ErrorFields | None


class ModelsAnswer(BaseModel):
    active: str | None = Field(description="Null: the model that the settings name answers.")
    previous: str | None = Field(description="What a rollback goes back to; null: as above.")
    activation: ActivationAnswer
    models: list[VersionAnswer]


class ActivateBody(Body):
    reference: str | None = Field(
        None,
        max_length=200,
        description="name:version, or the name alone for its newest; null: what the settings name.",
    )
    force: bool = Field(False, description="Whatever the gate says. Hashes and the self-test always count.")


class RollbackBody(Body):
    force: bool = True


class HeldAnswer(BaseModel):
    """What has arrived of a version that is being sent."""

    reference: str
    complete: bool = Field(description="It is in the registry, with these very files.")
    held: dict[str, int] = Field(description="Bytes that are there, by file.")

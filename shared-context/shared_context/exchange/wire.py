"""What replicas send each other, as validated JSON. `docs/sync.md` describes it for clients.

Every model is strict about types and ignores fields it does not know, so that a newer replica
can say more to an older one.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shared_context.conversations.messages import whole_characters
from shared_context.conversations.store import MAX_ID_CHARS, MAX_TITLE_CHARS, is_name
from shared_context.storage.clock import time_of
from shared_context.storage.identity import in_utc

PROTOCOL = 1
LARGEST = 2**53 - 1
"""JavaScript's largest exact integer."""

MAX_RECORDS = 2000
MAX_BYTES = 4 * 1024 * 1024
"""Most of a page that a caller can ask for; one record may be larger."""

MAX_UPDATE_CHARS = 24 * 1024 * 1024
"""Of a document update in base64: four documents of 4 MiB and what Yjs adds."""

_ORIGIN = "[A-Za-z0-9_-]{1,64}"
_MOMENT = (
    r"(19[7-9]\d|[2-8]\d{3})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z"
)


def _name(text: str) -> str:
    if not is_name(text, MAX_ID_CHARS):
        raise ValueError("is empty or has control characters")
    return text


def _real_moment(text: str) -> str:
    if in_utc(time_of(text)) != time_of(text):
        raise ValueError("is no time")
    return text


Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS), AfterValidator(_name)]
ReplicaId = Annotated[str, Field(pattern=f"^{_ORIGIN}$")]
Sequence = Annotated[int, Field(ge=0, le=LARGEST)]
Moment = Annotated[
    str,
    Field(pattern=f"^{_MOMENT}$", description="ISO 8601 UTC with microseconds."),
    AfterValidator(_real_moment),
]
Stamp = Annotated[
    str,
    Field(pattern=rf"^{_MOMENT}-[0-9a-f]{{4}}-{_ORIGIN}$", description="Of a hybrid logical clock."),
    AfterValidator(_real_moment),
]
Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$", max_length=MAX_UPDATE_CHARS)]
Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE_CHARS), AfterValidator(_name)]
Text = Annotated[str, AfterValidator(whole_characters)]
DeviceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")]


class Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class MessageRecord(Wire):
    kind: Literal["message"]
    sequence: Sequence
    message_id: Id
    conversation_id: Id
    role: Literal["system", "user", "assistant", "tool"]
    content: Text
    created_at: Moment
    tier: Text | None = None
    model: Text | None = None
    run_id: Text | None = None
    reply_to: Text | None = None
    receipt: dict[str, Any] | None = None
    supersedes: Id | None = Field(None, description="The answer that this one takes the place of.")


class DeletionRecord(Wire):
    """A message is gone for good; its id stays known."""

    kind: Literal["deletion"]
    sequence: Sequence
    message_id: Id
    conversation_id: Id
    deleted_at: Moment


class TitleRecord(Wire):
    """A person's title; null: none. The latest stamp wins."""

    kind: Literal["title"]
    sequence: Sequence
    conversation_id: Id
    title: Title | None
    stamp: Stamp


class StateRecord(Wire):
    """Since when a conversation exists; null: it was deleted. The latest stamp wins."""

    kind: Literal["state"]
    sequence: Sequence
    conversation_id: Id
    created_at: Moment | None
    stamp: Stamp


class DeviceRecord(Wire):
    """Something about a paired device. The latest stamp wins; a device that was ever revoked stays so."""

    kind: Literal["device"]
    sequence: Sequence
    device_id: Annotated[str, Field(pattern=r"^[a-z0-9]{1,64}$")]
    field: Literal["grant", "name", "revoked"]
    value: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(whole_characters)] = Field(
        description="A grant signed by the household, a name, or the moment of the revocation."
    )
    stamp: Stamp


Record = Annotated[
    MessageRecord | DeletionRecord | TitleRecord | StateRecord | DeviceRecord, Field(discriminator="kind")
]


class Span(Wire):
    """A part of one writer's log without gaps: who has it up to `after` has it up to `upto` then.
    Numbers that are missing between belong to records that others have replaced."""

    origin: ReplicaId
    replica: ReplicaId = Field(description="The replica that the writer belongs to.")
    number: Sequence = Field(description="Counts the writers of a replica.")
    after: Sequence
    upto: Annotated[int, Field(ge=1, le=LARGEST)]
    records: list[Record] = Field(max_length=MAX_RECORDS)

    @model_validator(mode="after")
    def _in_order(self) -> Span:
        numbers = [self.after, *(record.sequence for record in self.records)]
        if any(number >= next_ for number, next_ in pairwise(numbers)):
            raise ValueError("the records are not in order")
        if self.upto < numbers[-1] or self.upto <= self.after:
            raise ValueError("upto is before the last record")
        return self


class DocumentsState(Wire):
    """What a replica has of the documents."""

    vector: Base64 = Field(description="Yjs state vector.")
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DocumentsAnswer(DocumentsState):
    update: Base64 | None = Field(None, description="Yjs update (v1); null: nothing is lacking.")


class SyncRequest(Wire):
    """One step of an exchange: what the caller has, and a page of what the server lacks."""

    protocol: Literal[1]
    replica: ReplicaId
    name: DeviceName = "unnamed"
    have: dict[ReplicaId, Sequence] = Field(description="The caller's version vector.")
    documents: DocumentsState | None = None
    spans: list[Span] = []
    update: Base64 | None = Field(None, description="Yjs update of the documents for the server.")
    max_records: Annotated[int, Field(ge=1, le=MAX_RECORDS)] = 500
    max_bytes: Annotated[int, Field(ge=1024, le=MAX_BYTES)] = 512 * 1024


class SyncAnswer(Wire):
    """What the server has after taking in the request, and a page of what the caller lacks."""

    protocol: Literal[1] = 1
    replica: ReplicaId
    name: DeviceName
    have: dict[ReplicaId, Sequence]
    spans: list[Span]
    more: bool = Field(description="The caller lacks more than these spans.")
    documents: DocumentsAnswer | None = None
    time: Moment

"""Bodies of `/memory`."""

from __future__ import annotations

from typing import Literal

from orchestrator_core.handoff.memory import MOST_CHARS
from pydantic import BaseModel, ConfigDict, Field

from orchestrator_http.schemas.common import Body, Identifier, Parameters
from orchestrator_http.schemas.context import ProjectQuery

ItemState = Literal["open", "done", "superseded"]


class ItemsQuery(ProjectQuery):
    state: ItemState | None = Field(None, description="Absent: of every state.")


class ItemPath(Parameters):
    item_id: Identifier


class ItemFields(BaseModel):
    """A line of a handoff document: a to-do, open question, decision or lasting fact."""

    model_config = ConfigDict(from_attributes=True)

    item_id: str
    document: str
    section: str = Field(description="`now`, `next`, `questions`, `decisions`, `facts` or `owner`.")
    text: str
    state: ItemState
    due: str | None = Field(description="ISO date.")
    created: str | None = Field(description="ISO date; null: the owner wrote it by hand.")
    until: str | None = Field(description="The day it was superseded.")
    message_id: str | None = Field(description="The message that proves it.")


class ItemsAnswer(BaseModel):
    items: list[ItemFields] = Field(description="In the order of the documents, from broad to narrow.")


class ForgetQuery(ProjectQuery):
    history: bool = Field(False, description="Rewrite the history of the documents too.")


class ForgottenItem(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    item: ItemFields
    versions_rewritten: int = Field(description="Of the documents' history; 0: it keeps what it has.")


class ItemBody(Body):
    """What changes: the words, or the state."""

    text: str | None = Field(None, min_length=1, max_length=MOST_CHARS)
    outcome: Literal["done", "dropped"] | None = Field(
        None, description="Closes a to-do or question; strikes a decision or fact that holds no more."
    )

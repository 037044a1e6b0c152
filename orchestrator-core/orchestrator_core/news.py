"""What the owner should hear of although no client is looking."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

NewsKind = Literal["answer", "better_answer", "conflict"]
NewsId = Annotated[str, Field(pattern=r"^[a-z]+:[\x21-\x7e]{1,190}$")]
ShortText = Annotated[str, Field(min_length=1, max_length=600)]

MAX_IDS = 256
MOST_UNHEARD = 256


class News(BaseModel):
    """One thing that happened. It only names what it is about: the text is in the memory, and is gone when the
    owner forgets it.

    Args:
        ids: what happened, in words that are the same on every tier. News without a new id are old.
        conversation_id, message_id, run_id: of an answer.
        document: path below the context folder, of a conflict.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: NewsKind
    ids: list[NewsId] = Field(min_length=1, max_length=MAX_IDS)
    conversation_id: Annotated[str, Field(max_length=200)] | None = None
    message_id: Annotated[str, Field(max_length=200)] | None = None
    run_id: Annotated[str, Field(max_length=200)] | None = None
    document: ShortText | None = None

    @classmethod
    def answered(
        cls, run_id: str, conversation_id: str | None, message_id: str | None, *, better: bool = False
    ) -> Self:
        """
        Args:
            better: it takes the place of an answer that another tier gave before.
        """
        return cls(
            kind="better_answer" if better else "answer",
            ids=[f"run:{run_id}"],
            conversation_id=conversation_id,
            message_id=message_id,
            run_id=run_id,
        )

    @property
    def subject(self) -> str:
        """News of one subject take the place of each other."""
        return f"conflict:{self.document}" if self.kind == "conflict" else self.ids[0]


class NewsDesk:
    """Passes news on to the one who listens; what comes before anybody does is kept for him. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listener: Callable[[News], object] | None = None
        self._unheard: deque[News] = deque(maxlen=MOST_UNHEARD)

    def tell(self, news: News) -> None:
        with self._lock:
            listener = self._listener
            if listener is None:
                self._unheard.append(news)
        if listener is not None:
            listener(news)

    def listen(self, listener: Callable[[News], object]) -> None:
        """
        Args:
            listener: must neither wait long nor raise: an answer ends only after it.
        """
        with self._lock:
            self._listener = listener
            unheard, self._unheard = list(self._unheard), deque(maxlen=MOST_UNHEARD)
        for news in unheard:
            listener(news)

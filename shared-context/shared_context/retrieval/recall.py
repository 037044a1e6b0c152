"""Search over one replica's memory: messages, log entries and sections of documents."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shared_context.conversations.messages import message_of
from shared_context.conversations.store import ConversationStore
from shared_context.conversations.versions import hidden_among
from shared_context.documents.document import Document
from shared_context.documents.document_names import is_document_path
from shared_context.documents.starters import starter_text
from shared_context.errors import StoreCorrupt, StoreFromFuture
from shared_context.retrieval.embedding import EmbeddingModel, Embeddings, EmbeddingState, Nearby
from shared_context.retrieval.index import PassageIndex
from shared_context.retrieval.passages import Passage, document_passages, message_passages
from shared_context.retrieval.question import Question
from shared_context.retrieval.scoring import DEFAULT_WEIGHTS, OWNER
from shared_context.retrieval.segments import asked_part

log = logging.getLogger(__name__)

PEOPLE = {
    **dict.fromkeys(("i", "me", "my", "mine", "myself"), "user"),
    **dict.fromkeys(("you", "your", "yours", "assistant"), "assistant"),
}
"""Whose words are meant in a conversation with an assistant."""

LEAST_COVERAGE = 0.4
"""Part of a question's weight that a passage with its neighbours must cover to be worth showing
to a model. On the development sets two of three questions that have an answer reach it, and one of
five about other people's lives, which share many words."""

LEAST_STANDING = 1.7
"""Or so many standard deviations in meaning above all passages: on the development facts all but one of
fifty that a question needs stand as high, most of them with none of its words."""
LEAST_FOUND = 3.0
"""What a person searches for and has none of the words must stand out more: a list of hits is read."""
NEAR_LOOKED_AT = 400
"""So that what has the words has its closeness, too."""
LASTING_LOOKED_AT = 60
"""Of these, what the owner said is recalled; what others said of themselves is not."""

PARTS = 4
"""Passages that a search looks at for each result: of one long text several may fit."""
WITH_BEFORE = 10
"""Of so many the message before is told too: "On Friday." says little without its question."""

BATCH = 1000
_MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class Found:
    """
    Args:
        source: `message`, `log` or `document`.
        item: message id, or `PATH#entry` or `PATH#heading` with the document's path below the context folder.
        text: the whole passage.
        at: ISO 8601, "" where unknown.
        score: higher fits better; comparable within one search.
        coverage: part of what was asked for that it and its neighbours hold, 0 to 1.
        standing: how far it stands out by its meaning, in standard deviations.
        speaker: user, assistant, or "" for documents.
        holds_words: it has a word of the question itself, not only beside such a passage.
        before: the message it follows, for the best few.
        lasting: recalled as something lasting that the owner said, whatever was asked; score, coverage and
            standing are 0 then.
    """

    source: str
    item: str
    text: str
    at: str
    score: float
    coverage: float
    standing: float = 0.0
    speaker: str = ""
    holds_words: bool = True
    before: str = ""
    lasting: bool = False

    @property
    def document(self) -> str:
        """Path of the document it is from; "" for a message."""
        return "" if self.source == "message" else self.item.partition("#")[0]


class MemorySearch:
    """Keeps an index of everything said and written, and searches it. Safe from any thread.

    Args:
        path: file of the index. What is in it is derived, so an unusable one is made anew.
        documents: all handoff documents as they are now, by their paths below the context folder.
            None: they stay in the index as they were read last.
        embedding: also finds what is near in meaning. None: words only.

    Raises:
        StoreError: the file cannot be made.
    """

    def __init__(
        self,
        path: Path,
        conversations: ConversationStore,
        documents: Callable[[], Mapping[str, Document]] | None = None,
        *,
        embedding: EmbeddingModel | None = None,
    ) -> None:
        self._conversations = conversations
        self._documents = documents
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._calls = self._read_for = 0
        weights = None if embedding is None else replace(DEFAULT_WEIGHTS, meaning=embedding.meaning)
        try:
            self._index = PassageIndex(path, weights)
        except (StoreCorrupt, StoreFromFuture) as error:
            log.warning("The search index is made anew: %s", error)
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(name).unlink(missing_ok=True)
            self._index = PassageIndex(path, weights)
        self._embeddings = None if embedding is None else Embeddings(self._index, embedding)

    def close(self) -> None:
        if self._embeddings is not None:
            self._embeddings.close()
        self._index.close()

    def embedding_state(self) -> EmbeddingState | None:
        """How far search by meaning is; None where there is none.

        Raises:
            StoreError.
        """
        return None if self._embeddings is None else self._embeddings.state()

    def refresh(self) -> None:
        """Read what is new. Costs what changed; the first time, everything. Of many who call at once, one
        reads for all that called before it began.

        Raises:
            StoreError.
        """
        with self._counting:
            self._calls += 1
            call = self._calls
        with self._lock:
            if self._read_for >= call:
                return
            latest = self._calls
            marks = self._index.marks()
            self._read_documents(marks)
            self._read_messages(marks)
            self._read_for = latest
        if self._embeddings is not None:
            self._embeddings.take_in(changed=self._index.marks() != marks)

    def scrub(self) -> None:
        """Nothing of what was removed so far is left in the file."""
        self._index.scrub()

    def search(self, text: str, limit: int = 20, *, within: Collection[str] | None = None) -> list[Found]:
        """What fits the text best, best first.

        Args:
            within: paths of the documents to look in, besides all messages; None: all.

        Raises:
            StoreError.
        """
        self.refresh()
        hits = self._found(Question(text, speakers=PEOPLE), PARTS * limit, within, self._nearby(text))
        fitting = [one for one in hits if one.holds_words or one.standing >= LEAST_FOUND]
        # The best passage of each message or section stands for it.
        return list({(one.source, one.item): one for one in reversed(fitting)}.values())[: -limit - 1 : -1]

    def recall(
        self,
        text: str,
        earlier: Sequence[str],
        *,
        asked_at: str,
        without: Collection[str],
        within: Collection[str] | None = None,
        limit: int = 20,
    ) -> list[Found]:
        """What may help to answer a message, passage by passage, best first; behind it what the owner said that
        lasts, what matters most to this message first.

        Args:
            earlier: what was said just before, latest last.
            asked_at: ISO 8601.
            without: ids of messages that the model sees anyway.
            within: as in `search`.

        Raises:
            StoreError.
        """
        self.refresh()
        question = Question(text, earlier, asked_at, PEOPLE)
        nearby = self._nearby(text)
        hits = self._found(question, limit + len(without), within, nearby)
        fitting = [one for one in hits if worth_showing(one.coverage, one.standing)]
        return [
            *[one for one in fitting if one.item not in without][:limit],
            *[one for one in self._lasting(nearby) if one.item not in without],
        ]

    def _lasting(self, nearby: Nearby) -> list[Found]:
        passages = self._index.passages(nearby.lasting)
        said = [passages[position] for position in nearby.lasting if position in passages]
        return self._shown([_as_lasting(one) for one in said if _states(one)])

    def _found(
        self, question: Question, limit: int, within: Collection[str] | None, nearby: Nearby
    ) -> list[Found]:
        fitting = self._index.find(question, limit, within, nearby.standing)
        hits = [
            Found(
                source=passage.source,
                item=passage.item,
                text=passage.text,
                at=passage.at,
                score=scored.score,
                coverage=scored.coverage,
                standing=scored.standing,
                speaker=passage.speaker,
                holds_words=scored.holds_words,
                before=self._index.before(passage) if number < WITH_BEFORE else "",
            )
            for number, (passage, scored) in enumerate(fitting)
        ]
        return self._shown(hits)

    def _shown(self, found: list[Found]) -> list[Found]:
        """Without former versions of answers: they may be what a better one put right."""
        with self._conversations.database.read() as connection:
            hidden = hidden_among(connection, [one.item for one in found if one.source == "message"])
        return [one for one in found if one.source != "message" or one.item not in hidden]

    def _nearby(self, text: str) -> Nearby:
        if self._embeddings is None:
            return Nearby()
        return self._embeddings.nearby(text, NEAR_LOOKED_AT, LASTING_LOOKED_AT)

    def _read_documents(self, marks: dict[str, str]) -> None:
        if self._documents is None:
            return
        there = self._documents()
        for path, document in there.items():
            if marks.get(path) != document.version:
                untouched = document.text.strip() == starter_text(document.name).strip()
                self._index.change(
                    [] if untouched else document_passages(document, path),
                    self._index.items_of(path),
                    {path: document.version},
                )
        for path in marks.keys() - there.keys():
            if is_document_path(path) and marks[path]:
                self._index.change([], self._index.items_of(path), {path: ""})

    def _read_messages(self, marks: dict[str, str]) -> None:
        with self._conversations.database.read() as connection:
            before = _Mark.parse(marks.get(_MESSAGES))
            removed: list[tuple[str, str]] = []
            known: set[str] = set()
            deleted = _tombstones(connection)
            if before.deleted != deleted or not before.is_in(connection):
                known = self._index.items("message")
                stored = {row[0] for row in connection.execute("SELECT message_id FROM messages")}
                removed = [("message", item) for item in known - stored]
                before = _Mark(0, "", deleted)
            mark = before
            for rows in _batches(connection, before.position):
                messages = [message_of(row) for row in rows if row["message_id"] not in known]
                mark = _Mark(*_position(connection, rows[-1]["message_id"]), deleted)
                added = [passage for message in messages for passage in message_passages(message)]
                self._index.change(added, removed, {_MESSAGES: mark.text})
                removed = []
            if removed or mark.text != marks.get(_MESSAGES):
                self._index.change([], removed, {_MESSAGES: mark.text})


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far messages have been read.

    Args:
        position: of the last one read, with its id: when another message stands there, the
            store was replaced by a backup.
        deleted: how many deletions were known.
    """

    position: int = 0
    message_id: str = ""
    deleted: int = 0

    @classmethod
    def parse(cls, text: str | None) -> _Mark:
        return cls() if text is None else cls(*json.loads(text))

    @property
    def text(self) -> str:
        return json.dumps([self.position, self.message_id, self.deleted])

    def is_in(self, connection: sqlite3.Connection) -> bool:
        return self.position == 0 or _position(connection, self.message_id) == (
            self.position,
            self.message_id,
        )


def _position(connection: sqlite3.Connection, message_id: str) -> tuple[int, str]:
    row = connection.execute("SELECT position FROM messages WHERE message_id = ?", (message_id,)).fetchone()
    return (0, "") if row is None else (int(row[0]), message_id)


def _tombstones(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM tombstones").fetchone()[0])


def _batches(connection: sqlite3.Connection, after: int) -> Iterator[list[sqlite3.Row]]:
    while True:
        rows = connection.execute(
            """SELECT v.* FROM message_view AS v JOIN messages AS m USING (message_id)
            WHERE m.position > ? ORDER BY m.position LIMIT ?""",
            (after, BATCH),
        ).fetchall()
        if not rows:
            return
        yield rows
        after = _position(connection, rows[-1]["message_id"])[0]


def _states(passage: Passage) -> bool:
    """Whether the owner says something in it and does not only ask."""
    return passage.speaker == OWNER and asked_part(passage.text) < 0.5


def _as_lasting(passage: Passage) -> Found:
    return Found(
        passage.source,
        passage.item,
        passage.text,
        passage.at,
        score=0.0,
        coverage=0.0,
        speaker=passage.speaker,
        lasting=True,
    )


def worth_showing(coverage: float, standing: float = 0.0) -> bool:
    """Whether a passage may help a model, by the words it covers and how it stands in meaning."""
    return coverage >= LEAST_COVERAGE or standing >= LEAST_STANDING

"""How two replicas come to have the same: requests and answers, without any transport.

The caller says what it has; the server answers with what it has and a page of what the caller lacks;
the caller takes that in and sends a page of what the server lacks along with the next request. Nothing
is remembered between requests, so an exchange can be cut off, repeated and resumed at any point.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from shared_context.errors import DocumentRejected
from shared_context.exchange.replica import Replica
from shared_context.exchange.shared_documents import DocumentsSummary, SharedDocuments, decode, encode
from shared_context.exchange.wire import DocumentsAnswer, DocumentsState, Span, SyncAnswer, SyncRequest
from shared_context.storage.identity import now

log = logging.getLogger(__name__)

MAX_ROUNDS = 10_000
"""Of one exchange: five million messages in pages of 500."""


@dataclass(frozen=True, slots=True)
class PageSize:
    """At most so much of the log in one message, each way; one record may be larger."""

    records: int = 500
    bytes: int = 512 * 1024


@dataclass(slots=True)
class Report:
    """What an exchange did.

    Args:
        sent, received: records of the log.
        conversations: ids of those that changed here.
        documents: paths of those that changed here.
        complete: both sides had the same at the end.
        documents_problem: why one side did not take the other's documents; the log was exchanged
            all the same.
    """

    rounds: int = 0
    sent: int = 0
    received: int = 0
    conversations: set[str] = field(default_factory=set)
    documents: set[str] = field(default_factory=set)
    complete: bool = False
    documents_problem: str | None = None


def answer(replica: Replica, request: SyncRequest) -> SyncAnswer:
    """The server's side of one step.

    Raises:
        DocumentRejected: the documents' update was not taken in. StoreError.
    """
    replica.meet(request.replica)
    replica.log.receive(request.spans)
    documents = _documents_answer(replica, request)
    page = replica.log.since(request.have, max_records=request.max_records, max_bytes=request.max_bytes)
    return SyncAnswer(
        replica=replica.replica_id,
        name=replica.name,
        have=replica.log.vector(),
        spans=_spans(page.spans),
        more=page.more,
        documents=documents,
        time=now(),
    )


class Exchange:
    """The caller's side, from the first request to the end.

        exchange = Exchange(replica)
        while (request := exchange.next_request()) is not None:
            exchange.take(send(request))

    Args:
        page: how much to send and to ask for at once.
    """

    def __init__(self, replica: Replica, page: PageSize | None = None) -> None:
        self.report = Report()
        self._replica = replica
        self._page = page or PageSize()
        self._peer: SyncAnswer | None = None
        self._seen: tuple[object, ...] | None = None
        self._over = False

    def go_on_without_documents(self, why: str) -> None:
        """One side does not take the other's documents: exchange only the log from now on."""
        log.warning("The documents were not exchanged, only the conversations: %s", why)
        self.report.documents_problem = why

    def next_request(self) -> SyncRequest | None:
        """What to send now; None when the exchange is over. See `report.complete`."""
        if self._over:
            return None
        replica, peer = self._replica, self._peer
        spans = (
            replica.log.since(peer.have, max_records=self._page.records, max_bytes=self._page.bytes).spans
            if peer
            else []
        )
        update = self._update_for(peer) if peer else None
        summary = self._documents.summary() if self._documents is not None else None
        self.report.rounds += 1
        self.report.sent += sum(len(span["records"]) for span in spans)
        return SyncRequest(
            protocol=1,
            replica=replica.replica_id,
            name=replica.name,
            have=replica.log.vector(),
            documents=_state(summary) if summary else None,
            spans=_spans(spans),
            update=encode(update) if update is not None else None,
            max_records=self._page.records,
            max_bytes=self._page.bytes,
        )

    def take(self, answer: SyncAnswer) -> None:
        """Take in the server's answer. Documents that cannot be taken in are told in the report.

        Raises:
            StoreError: repeat the exchange later.
        """
        replica, report = self._replica, self.report
        received = replica.log.receive(answer.spans)
        report.received += received.records
        report.conversations |= received.conversations
        if self._documents is not None and answer.documents is not None:
            try:
                report.documents.update(self._take_documents(self._documents, answer.documents, answer.name))
            except DocumentRejected as error:
                self.go_on_without_documents(error.message)
        self._peer = answer
        self._look_for_the_end(answer)

    def _take_documents(
        self, documents: SharedDocuments, theirs: DocumentsAnswer, author: str
    ) -> tuple[str, ...]:
        documents.meet(_summary(theirs))
        return documents.context.apply_update(decode(theirs.update), author) if theirs.update else ()

    def _look_for_the_end(self, peer: SyncAnswer) -> None:
        mine = self._replica.state()
        theirs = peer.documents.digest if peer.documents is not None else None
        same_documents = mine.documents is None or theirs is None or mine.documents == theirs
        same_documents = same_documents and self.report.documents_problem is None
        self.report.complete = mine.vector == peer.have and same_documents
        # Nothing moved on either side since the last round: going on would never end.
        seen = (mine.vector, peer.have, mine.documents, theirs, self.report.documents_problem)
        stuck = seen == self._seen and self.report.rounds > 1
        self._seen = seen
        self._over = self.report.complete or stuck or self.report.rounds >= MAX_ROUNDS

    @property
    def _documents(self) -> SharedDocuments | None:
        return self._replica.documents if self.report.documents_problem is None else None

    def _update_for(self, peer: SyncAnswer) -> bytes | None:
        if self._documents is None or peer.documents is None:
            return None
        return self._documents.lacking(_summary(peer.documents))


def _documents_answer(replica: Replica, request: SyncRequest) -> DocumentsAnswer | None:
    if replica.documents is None or request.documents is None:
        return None
    replica.documents.meet(_summary(request.documents))
    if request.update is not None:
        replica.documents.context.apply_update(decode(request.update), request.name)
    update = replica.documents.lacking(_summary(request.documents))
    summary = replica.documents.summary()
    return DocumentsAnswer(
        vector=encode(summary.vector),
        digest=summary.digest,
        update=encode(update) if update is not None else None,
    )


def _spans(spans: list[dict[str, object]]) -> list[Span]:
    return [Span.model_validate(span) for span in spans]


def _state(summary: DocumentsSummary) -> DocumentsState:
    return DocumentsState(vector=encode(summary.vector), digest=summary.digest)


def _summary(state: DocumentsState) -> DocumentsSummary:
    return DocumentsSummary(decode(state.vector), state.digest)

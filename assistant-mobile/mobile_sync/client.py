"""The phone's client: everything a phone does with the household, in one class.

What is asked is journaled first, then goes by whatever road there is; what can be read is read from this device's own copy
of the memory, without any network. `cli` is a terminal around it, and MOBILE_INTEGRATION.md a guide for other apps.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Self
from urllib.parse import quote

from orchestrator_core.assistant.searching import search_all
from orchestrator_core.backend import ChatBackend
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import from_body
from orchestrator_core.settings import Settings
from orchestrator_core.tiers.run_stream import StreamEvent
from shared_context.conversations.messages import Conversation, Message
from shared_context.conversations.migrations import DEFAULT_CONVERSATION
from shared_context.documents.context_folder import Document
from shared_context.documents.document_names import LOG
from shared_context.errors import ExchangeError
from shared_context.exchange.exchange import Report
from shared_context.exchange.replica import Replica
from shared_context.exchange.sync_client import SyncClient
from shared_context.storage.identity import new_id

from mobile_sync.answers import RoamingAnswer
from mobile_sync.courier import HouseholdCourier
from mobile_sync.delivery import Delivery
from mobile_sync.errors import ConnectionCut, NothingReachable, ReachError
from mobile_sync.household import Household
from mobile_sync.membership import Membership
from mobile_sync.outbox import EntryKind, EntryState, Outbox, OutboxEntry
from mobile_sync.own_memory import TIER, open_memory
from mobile_sync.router import Choice

EXCHANGE_S = 10.0
"""For each step of an exchange."""

KEEP_UP_S = 5.0
"""Between attempts to deliver what waits, while somebody has `keep_up` running."""

_log = logging.getLogger(__name__)


class PhoneClient:
    """One paired device. Safe from any thread.

    Args:
        settings: `data` is this device's folder: its keys, outbox and copy of the memory; `phone` what the owner has chosen.
        backend: its own model; None: it has none.
        lan: further URLs at which the desktop may be; see `discovery.Discovery`.

    Raises:
        NotPaired. StoreLocked: another process uses the folder. StoreError, IdentityUnusable.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        backend: ChatBackend | None = None,
        lan: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        data = settings.data
        self.membership = Membership.read(data)
        self._settings = settings.phone
        self._has_model = backend is not None
        self._exchanging = threading.Lock()
        self._under_way: set[str] = set()
        self._closing = threading.Event()
        with ExitStack() as opened:
            self.memory = opened.enter_context(open_memory(settings, backend))
            context = self.memory.context
            assert context is not None, "an assistant of its own has its documents"
            self._context = context
            self.replica = Replica(self.memory.conversations, context, name=self.membership.device)
            self.outbox = opened.enter_context(Outbox(data / "outbox.db"))
            self.household = opened.enter_context(
                Household(self.membership, data, lan=lan, own_model=lambda: self._has_model)
            )
            courier = HouseholdCourier(self.household, context, self._is_exchanged)
            self._courier = courier
            self._delivery = Delivery(self.outbox, courier, under_way=lambda: frozenset(self._under_way))
            self._opened = opened.pop_all()

    # Asking

    def chat(self, message: str, conversation_id: str | None = None, **fields: Any) -> Mapping[str, Any]:
        """Ask, and wait for the answer: the data of the `done` event, or of `queued`; see `stream`."""
        last: StreamEvent | None = None
        for event in self.stream(message, conversation_id, **fields):
            last = event
        assert last is not None
        return last.data

    def stream(
        self, message: str, conversation_id: str | None = None, **fields: Any
    ) -> Iterator[StreamEvent]:
        """Ask, and give the answer's events as they come.

        name     data
        road     {"way": "lan", "vps" or "phone", "reason"}: by this way the answer comes from now on
        token    {"token": text}
        seam     {"tier", "model", "reason"}: another tier goes on; with "from": 0 it begins anew
        done     the fields of the `/chat` answer (tier, model, reason, …) and "road"
        queued   {"entry_id", "reason"}: the message waits in the outbox

        Args:
            fields: of the `/chat` request, for example max_tokens.

        Raises:
            StoreFull: the message was not kept. InvalidRequest: it never can be sent.
            ConnectionCut: the answer was lost on its way; the message is in the outbox.
            ApplicationError: a server refused it; it is in the outbox, until it is retried or deleted.
        """
        message_id, lane = new_id(), conversation_id or DEFAULT_CONVERSATION
        body = {
            **fields,
            "message": message,
            "message_id": message_id,
            "conversation_id": lane,
            "new_conversation": True,
        }
        request = ChatRequest.parse(body)
        self._under_way.add(message_id)
        try:
            entry = self.outbox.add(EntryKind.MESSAGE, lane, body, entry_id=message_id)
            if self._has_earlier(entry):
                self.flush()
            if self._has_earlier(entry):
                yield _queued(entry, "what was written before in this conversation waits as well")
                return
            yield from self._answered(entry, request)
        finally:
            self._under_way.discard(message_id)

    def _answered(self, entry: OutboxEntry, request: ChatRequest) -> Iterator[StreamEvent]:
        simple = self._settings.own_model_first and len(request.message) <= self._settings.simple_chars
        choice = self.household.roads.choose(own_model_first=simple)
        if choice.url is not None:
            answer = self._courier.answer(entry)
            try:
                with self._delivery.sending(entry):
                    yield from answer
                self._delivery.look(entry.entry_id)
                return
            except (NothingReachable, ConnectionCut):
                # What was begun before the eyes of its reader is not begun anew by somebody else.
                if answer.offset:
                    raise
            choice = self.household.roads.choose()
        if choice.way == "phone":
            yield from self._own_answer(entry, request, choice)
        else:
            yield _queued(entry, "the connection was lost" if choice.url else choice.reason)

    def _own_answer(self, entry: OutboxEntry, request: ChatRequest, choice: Choice) -> Iterator[StreamEvent]:
        """By this device's own model; question and answer go to the household with the next exchange."""
        yield StreamEvent("road", {"way": TIER, "reason": choice.reason})
        run = self.memory.ask(request, reason=choice.reason)
        for event in run.events():
            if event is None:
                continue
            if event.kind == "error":
                raise from_body(event.data)
            if event.kind == "done":
                self.outbox.mark(entry.entry_id, EntryState.ANSWERED)
                road = {"way": TIER, "reason": choice.reason}
                yield StreamEvent("done", {**event.data, "road": road}, event.offset)
            else:
                yield StreamEvent(event.kind, dict(event.data), event.offset)

    def _has_earlier(self, entry: OutboxEntry) -> bool:
        earlier = [other for other in self.outbox.entries(entry.lane) if other.state != EntryState.ANSWERED]
        return bool(earlier) and earlier[0].entry_id != entry.entry_id

    def resume(self, run_id: str, offset: int = 0) -> RoamingAnswer:
        """Follow an answer that was begun somewhere, behind this offset."""
        return RoamingAnswer(self.household, None, run_id=run_id, offset=offset)

    def stop(self, run_id: str) -> Mapping[str, Any]:
        """Stop an answer; the text so far is kept. Returns the run."""
        return self._call("DELETE", f"/runs/{quote(run_id, safe='')}")

    # Writing

    def add_log_entry(self, text: str) -> OutboxEntry | None:
        """Add an entry to the session log, here at once and elsewhere when there is a road.

        Returns:
            what waits for a server; None: one has it already.
        """
        return self._write(EntryKind.LOG_ENTRY, LOG, {"text": text})

    def edit_document(self, name: str, text: str, base: str | None = None) -> OutboxEntry | None:
        """Make `text` the document, as an edit of the version `base` (default: the present one here); see `add_log_entry`.

        Raises:
            StaleVersion, DocumentRejected, DocumentNotFound: nothing was kept.
        """
        base = base or next((each.version for each in self.documents() if each.name == name), None)
        return self._write(EntryKind.EDIT, name, {"text": text, "base": base})

    def _write(self, kind: EntryKind, lane: str, body: Mapping[str, Any]) -> OutboxEntry | None:
        entry = self.outbox.add(kind, lane, body)
        try:
            with self._delivery.sending(entry):
                self._courier.write(self.outbox.get(entry.entry_id))
        except BaseException:
            if self.outbox.get(entry.entry_id).state is EntryState.REFUSED:
                self.outbox.remove(entry.entry_id)
            raise
        self.flush()
        return next((each for each in self.outbox.entries() if each.entry_id == entry.entry_id), None)

    # Reading, without any network

    def conversations(self, limit: int = 50) -> list[Conversation]:
        return self.memory.conversations.list(limit)

    def history(self, conversation_id: str | None = None) -> list[Message]:
        """
        Raises:
            ConversationNotFound: it did not come with an exchange yet.
        """
        return self.memory.conversations.messages(conversation_id or DEFAULT_CONVERSATION)

    def documents(self) -> list[Document]:
        return self._context.documents()

    def search(self, query: str, limit: int = 20) -> list[dict[str, Any]]:
        memory = self.memory
        return [asdict(hit) for hit in search_all(query, limit, memory.conversations, memory.memory)]

    # The household

    def sync(self) -> Report:
        """Exchange everything with a server.

        Raises:
            NothingReachable, ExchangeError, StoreError.
        """
        with self._exchanging:
            choice = self.household.roads.choose(others=True)
            if choice.url is None:
                raise NothingReachable(f"Nothing was exchanged: {choice.reason}.")
            session = self.household.session(choice.url)
            try:
                report = SyncClient(
                    choice.url, self.replica, session=session, timeout_s=EXCHANGE_S
                ).exchange()
            except ExchangeError:
                self.household.roads.failed(choice.url)
                raise
            self.household.roads.heard(choice.url)
            return report

    def flush(self) -> bool:
        """Deliver what waits, as far as there is a road; whether nothing waits any more.

        Raises:
            StoreError: this device's disk takes nothing.
        """
        try:
            self.sync()
        except (ReachError, ExchangeError) as error:
            _log.info("Not exchanged: %s", error)
            return not self.outbox.entries()
        return self._delivery.flush()

    def keep_up(self, changed: Callable[[], None] = lambda: None) -> None:
        """Deliver and exchange again and again, until `close`. For a thread of its own.

        Args:
            changed: called after each attempt.
        """
        while not self._closing.is_set():
            try:
                self.flush()
            except Exception as error:
                _log.warning("The outbox waits: %s", error)
            changed()
            self._closing.wait(KEEP_UP_S)

    def draft_handoff(
        self, conversation_id: str | None = None, *, use_model: bool = True
    ) -> Mapping[str, Any]:
        """See `POST /handoff`; the desktop alone does it."""
        body = {"conversation_id": conversation_id or DEFAULT_CONVERSATION, "use_model": use_model}
        return self._call("POST", "/handoff", body, repeatable=True)

    def confirm_handoff(self, confirmation: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `POST /handoff/confirm`. Confirming again changes nothing."""
        return self._call("POST", "/handoff/confirm", dict(confirmation), repeatable=True)

    def devices(self) -> Mapping[str, Any]:
        """See `GET /devices`."""
        return self._call("GET", "/devices")

    def status(self) -> dict[str, Any]:
        """What is known at this moment, without asking anybody: the roads that are alive, what waits."""
        return {
            "household": self.membership.household.id,
            "device": self.household.identity.id,
            "roads": [{"url": road.url, "way": road.kind} for road in self.household.roads.alive()],
            "own_model": self._has_model,
            "waiting": len(self.outbox.entries()),
        }

    def _call(self, method: str, path: str, body: Any = None, **options: Any) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self.household.call(method, path, body, **options).body
        return answer

    def _is_exchanged(self) -> bool:
        try:
            report = self.sync()
        except ExchangeError as error:
            raise ConnectionCut(error.message) from error
        return report.complete and report.documents_problem is None

    def close(self) -> None:
        """Idempotent."""
        self._closing.set()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _queued(entry: OutboxEntry, reason: str) -> StreamEvent:
    return StreamEvent("queued", {"entry_id": entry.entry_id, "reason": reason})

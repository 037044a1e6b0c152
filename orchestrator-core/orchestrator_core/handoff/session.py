"""Ends a session: reads what is new in a conversation, drafts, and stores what the owner confirmed.

Nothing is written before the confirmation. Messages are marked one by one, so the next draft has
what was said since, and also what another tier delivered late.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from shared_context.conversations.messages import Message
from shared_context.conversations.sessions import HandoffMarks
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder, Document
from shared_context.documents.document_names import BRIEFING
from shared_context.documents.log_entry import check_entry_id
from shared_context.errors import DocumentNotFound, StaleVersion

from orchestrator_core.errors import Conflict, InvalidRequest
from orchestrator_core.handoff.entry import entry_id, entry_text
from orchestrator_core.handoff.extract import extract, newest
from orchestrator_core.handoff.item import HandoffItem, distinct
from orchestrator_core.handoff.item_line import ItemLine, ItemState
from orchestrator_core.handoff.placement import DOCUMENTS, document_diff, placed_items, updated
from orchestrator_core.handoff.proposer import Proposer
from orchestrator_core.messages import Role

MOST_MESSAGES = 2000
"""Of one session. What is older than these was never handed off; the draft says so."""
MOST_TEXT = 500_000
"""Characters of one session that are read, the newest first: two or three seconds of work on a slow
machine."""


@dataclass(frozen=True, slots=True)
class DocumentDraft:
    """A document as it would be.

    Args:
        base_version: of `base_text`, the document as it is; None: there is none yet.
        diff: unified, from `base_text` to `text`.
    """

    name: str
    text: str
    base_version: str | None
    base_text: str
    diff: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What would be stored, for the owner to change.

    Args:
        entry_id: the same for the same messages, so a session is in the log once.
        documents: those that would change.
        items: what entry and documents were made of, each with its proof.
        sources: ids of the messages it covers, oldest first.
        notes: what the owner should know about it.
    """

    conversation_id: str
    entry_id: str
    entry: str
    documents: tuple[DocumentDraft, ...]
    items: tuple[HandoffItem, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentEdit:
    """
    Args:
        base_version: of the text that was edited; None: the present one.
    """

    name: str
    text: str
    base_version: str | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the owner made of a draft.

    Args:
        sources: None: of the draft with this `entry_id`.
        entry: None: nothing is added to the log.
        documents: those that shall change.
    """

    conversation_id: str
    entry_id: str
    sources: tuple[str, ...] | None
    entry: str | None
    documents: tuple[DocumentEdit, ...] = ()


@dataclass(frozen=True, slots=True)
class Confirmed:
    """
    Args:
        log_version: of the log with the entry; None without one.
        versions: of the documents as stored, by name; of a repetition only the briefing's is known.
        merged: documents that had changed meanwhile: both changes are in them.
        repeated: it had been confirmed before, and nothing was written now.
    """

    entry_id: str
    log_version: str | None
    versions: Mapping[str, str]
    merged: tuple[str, ...] = ()
    repeated: bool = False


class Handoffs:
    """Drafts and confirms for one assistant. Safe from any thread.

    Args:
        proposer: asks a model for items; None: only explicit markers are read.
    """

    def __init__(
        self, conversations: ConversationStore, context: ContextFolder, proposer: Proposer | None = None
    ) -> None:
        self._conversations = conversations
        self._context = context
        self._proposer = proposer
        self._marks = HandoffMarks(conversations.database)
        self._lock = threading.Lock()

    def draft(
        self, conversation_id: str, *, use_model: bool = True, context: ContextFolder | None = None
    ) -> Draft:
        """What ending the session now would store; nothing is.

        Args:
            use_model: let the answering model propose items, where there is one fit for it.
            context: another project's documents than this assistant's.

        Raises:
            ConversationNotFound. Conflict: nothing was said since the last handoff.
            StoreError, DocumentError: the memory cannot be read.
        """
        context = context or self._context
        read, session = self._session(conversation_id)
        if not any(message.role == Role.USER for message in session):
            raise Conflict(
                "Nothing was said in this conversation since its last handoff.",
                code="nothing_to_hand_off",
                hint="Name another conversation, or write the briefing by hand.",
                param="conversation_id",
            )
        texts = newest(session, MOST_TEXT)
        documents = _documents(context)
        today = datetime.now(UTC).date()
        items, notes = self._items(texts, documents, use_model, today)
        if len(read) == MOST_MESSAGES and read[0] is session[0]:
            notes.append(f"Only the last {MOST_MESSAGES} messages were read.")
        if len(texts) < len(session):
            left_out = len(session) - len(texts)
            notes.append(f"The {left_out} oldest messages are not in the draft: the session is very long.")
        sources = tuple(message.message_id for message in session)
        return Draft(
            conversation_id=conversation_id,
            entry_id=entry_id(conversation_id, sources),
            entry=entry_text(items),
            documents=tuple(_drafted(name, documents.get(name), items, today) for name in DOCUMENTS),
            items=tuple(items),
            sources=sources,
            notes=tuple(notes),
        )

    def read_ahead(self, conversation_id: str) -> None:
        """Let the model read what is new in this conversation, so that ending the session need not wait."""
        if self._proposer is not None:
            session = self._session(conversation_id)[1]
            if session:
                open_items = _open_items(_documents(self._context))
                self._proposer.read_ahead(newest(session, MOST_TEXT), open_items, datetime.now(UTC).date())

    def confirm(self, given: Confirmation, *, context: ContextFolder | None = None) -> Confirmed:
        """Store it and mark its messages. Confirming again changes nothing.

        After a crash in between, confirming again finishes what was begun.

        Args:
            context: the documents that the draft was made for, as somebody writes them.

        Raises:
            ConversationNotFound. StaleVersion: a base is no version of its document.
            Conflict: some of the messages were handed off meanwhile, with another entry; or there is
                no draft with this id any more.
            InvalidRequest: a source is no message of the conversation.
            DocumentError, StoreError: the entry or a document could not be written.
        """
        check_entry_id(given.entry_id)
        with self._lock:
            earlier = self._marks.find(given.entry_id)
            if earlier is not None:
                if earlier.conversation_id != given.conversation_id:
                    raise Conflict(
                        "This entry id belongs to the handoff of another conversation.", param="entry_id"
                    )
                version = earlier.briefing_version
                return Confirmed(
                    earlier.entry_id,
                    earlier.log_version,
                    {} if version is None else {BRIEFING: version},
                    repeated=True,
                )
            context = context or self._context
            return self._store(given, self._checked(given, context), context)

    def _session(self, conversation_id: str) -> tuple[list[Message], list[Message]]:
        """The newest messages, and those of them that no handoff covers."""
        covered = self._marks.covered(conversation_id)
        read = self._conversations.messages(conversation_id, limit=MOST_MESSAGES)
        return read, [message for message in read if message.message_id not in covered]

    def _checked(self, given: Confirmation, context: ContextFolder) -> tuple[str, ...]:
        """The messages it covers. Everything that can be refused is refused before anything is written."""
        self._conversations.get(given.conversation_id)
        sources = self._sources(given) if given.sources is None else given.sources
        self._check_sources(given.conversation_id, sources)
        for edit in given.documents:
            if edit.name not in DOCUMENTS:
                raise InvalidRequest(
                    f"{edit.name[:80]!r} is no document that a handoff changes.",
                    hint=f"Those are {', '.join(DOCUMENTS)}; the log takes the entry.",
                    param="documents",
                )
            if edit.base_version is not None:
                try:
                    context.text_at(edit.name, edit.base_version)
                except DocumentNotFound as error:
                    raise StaleVersion(error.message, "Ask for the draft again.") from error
        return sources

    def _sources(self, given: Confirmation) -> tuple[str, ...]:
        """The messages of the draft: the beginning of the session that has its id. More may have been
        said since."""
        ids = tuple(message.message_id for message in self._session(given.conversation_id)[1])
        for stop in range(len(ids), 0, -1):
            if entry_id(given.conversation_id, ids[:stop]) == given.entry_id:
                return ids[:stop]
        raise Conflict(
            f"No draft of this conversation has the entry id {given.entry_id!r} now.",
            code="draft_outdated",
            hint="Ask for the draft again.",
            param="entry_id",
        )

    def _check_sources(self, conversation_id: str, sources: Sequence[str]) -> None:
        covered = self._marks.covered(conversation_id)
        if not covered.keys().isdisjoint(sources):
            raise Conflict(
                "A part of this session was handed off meanwhile.",
                code="already_handed_off",
                hint="Ask for the draft again: it has what is new since.",
                param="sources",
            )
        read = self._conversations.messages(conversation_id, limit=MOST_MESSAGES)
        known = {message.message_id for message in read}
        for source in sources:
            if source not in known and not self._was_said(source, conversation_id):
                raise InvalidRequest(
                    f"{source[:80]!r} is no message of this conversation.",
                    hint="Send the sources of the draft as they are.",
                    param="sources",
                )

    def _was_said(self, message_id: str, conversation_id: str) -> bool:
        message = self._conversations.message(message_id)
        if message is None:
            return self._conversations.is_deleted(message_id)
        return message.conversation_id == conversation_id

    def _items(
        self, session: Sequence[Message], documents: Mapping[str, Document], use_model: bool, today: date
    ) -> tuple[list[HandoffItem], list[str]]:
        if self._proposer is None or not use_model:
            return extract(session), []
        items, unread, notes = self._proposer.items(session, _open_items(documents), today)
        return distinct([*items, *extract(unread)]), notes

    def _store(self, given: Confirmation, sources: tuple[str, ...], context: ContextFolder) -> Confirmed:
        log = None
        if given.entry is not None:
            log, _ = context.append_entry(given.entry, entry_id=given.entry_id)
        stored = {edit.name: _stored(context, edit) for edit in given.documents}
        versions = {name: document.version for name, document in stored.items()}
        done = self._marks.record(
            given.entry_id,
            given.conversation_id,
            sources,
            log_version=log.version if log else None,
            briefing_version=versions.get(BRIEFING),
        )
        merged = tuple(edit.name for edit in given.documents if not _same(stored[edit.name].text, edit.text))
        return Confirmed(done.entry_id, done.log_version, versions, merged)


def _documents(context: ContextFolder) -> dict[str, Document]:
    return {document.name: document for document in context.documents()}


def _drafted(
    name: str, document: Document | None, items: Sequence[HandoffItem], today: date
) -> DocumentDraft:
    base = document.text if document else ""
    text = updated(name, base, items, today)
    version = document.version if document else None
    return DocumentDraft(name, text, version, base, document_diff(base, text, name))


def _open_items(documents: Mapping[str, Document]) -> list[ItemLine]:
    """What a session may settle or replace, the most urgent first."""
    placed = (
        item for name in DOCUMENTS if name in documents for item in placed_items(name, documents[name].text)
    )
    lines = [item.line for item in placed if item.line.state is ItemState.OPEN and not item.section.replaced]
    return sorted(lines, key=lambda line: line.urgency)


def _stored(context: ContextFolder, edit: DocumentEdit) -> Document:
    """An edit that is there already, from a confirmation cut off by a crash, is not merged anew."""
    present = _documents(context).get(edit.name)
    if present is not None and _same(present.text, edit.text):
        return present
    return context.edit(edit.name, edit.text, base_version=edit.base_version)


def _same(text: str, other: str) -> bool:
    return text.replace("\r\n", "\n") == other.replace("\r\n", "\n")

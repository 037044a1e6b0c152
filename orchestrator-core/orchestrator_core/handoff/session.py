"""Ends a session: reads what is new in a conversation, drafts, and stores what the owner confirmed.

Nothing is written before the confirmation. Messages are marked one by one, so the next draft has
what was said since, and also what another tier delivered late.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from shared_context.conversations.messages import Message
from shared_context.conversations.sessions import HandoffMarks
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder, Document
from shared_context.documents.document_names import BRIEFING
from shared_context.documents.log_entry import check_entry_id
from shared_context.errors import DocumentNotFound, StaleVersion

from orchestrator_core.errors import Conflict, InvalidRequest
from orchestrator_core.handoff.briefing import unified_diff, updated_briefing
from orchestrator_core.handoff.entry import entry_id, entry_text
from orchestrator_core.handoff.extract import Extract, extract, newest
from orchestrator_core.handoff.rewriting import Rewriter
from orchestrator_core.messages import Role

MOST_MESSAGES = 2000
"""Of one session. What is older than these was never handed off; the draft says so."""
MOST_TEXT = 500_000
"""Characters of one session that are read, the newest first: two or three seconds of work on a slow
machine."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What would be stored, for the owner to change.

    Args:
        entry_id: the same for the same messages, so a session is in the log once.
        briefing: the whole text as it would be; `base_text` as it is, in version `base_version`
            (None: there is no briefing yet).
        diff: unified, of the briefing.
        sources: ids of the messages it covers, oldest first.
        notes: what the owner should know about it.
    """

    conversation_id: str
    entry_id: str
    entry: str
    briefing: str
    base_version: str | None
    base_text: str
    diff: str
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the owner made of a draft.

    Args:
        sources: None: of the draft with this `entry_id`.
        entry: None: nothing is added to the log.
        briefing: None: it stays as it is.
        base_version: of the briefing that was edited; None: the present one.
    """

    conversation_id: str
    entry_id: str
    sources: tuple[str, ...] | None
    entry: str | None
    briefing: str | None
    base_version: str | None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """
    Args:
        log_version: of the log with the entry; None without one.
        briefing_version: of the briefing as stored; None where it was left as it was.
        merged: the briefing had changed meanwhile, and both are in it.
        repeated: it had been confirmed before, and nothing was written now.
    """

    entry_id: str
    log_version: str | None
    briefing_version: str | None
    merged: bool = False
    repeated: bool = False


class Handoffs:
    """Drafts and confirms for one assistant. Safe from any thread.

    Args:
        rewriter: for drafts that shall be reworded; None: they never are.
    """

    def __init__(
        self, conversations: ConversationStore, context: ContextFolder, rewriter: Rewriter | None = None
    ) -> None:
        self._conversations = conversations
        self._context = context
        self._rewriter = rewriter
        self._marks = HandoffMarks(conversations.database)
        self._lock = threading.Lock()

    def draft(
        self, conversation_id: str, *, improve: bool = False, context: ContextFolder | None = None
    ) -> Draft:
        """What ending the session now would store; nothing is.

        Args:
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
        shown = newest(session, MOST_TEXT)
        found = extract(shown)
        wording, notes = self._wording(found, improve)
        left_out = len(session) - len(shown) if len(shown) < len(session) else 0
        if len(read) == MOST_MESSAGES and read[0] is session[0]:
            notes.append(f"Only the last {MOST_MESSAGES} messages were read.")
        if left_out:
            notes.append(f"The {left_out} oldest messages are not in the draft: the session is very long.")
        sources = tuple(message.message_id for message in session)
        briefing = _briefing(context)
        base = briefing.text if briefing else ""
        text = updated_briefing(base, found, wording)
        return Draft(
            conversation_id=conversation_id,
            entry_id=entry_id(conversation_id, sources),
            entry=entry_text(found, wording),
            briefing=text,
            base_version=briefing.version if briefing else None,
            base_text=base,
            diff=unified_diff(base, text, BRIEFING),
            sources=sources,
            notes=tuple(notes),
        )

    def confirm(self, given: Confirmation, *, context: ContextFolder | None = None) -> Confirmed:
        """Store it and mark its messages. Confirming again changes nothing.

        After a crash in between, confirming again finishes what was begun.

        Args:
            context: the documents that the draft was made for, as somebody writes them.

        Raises:
            ConversationNotFound. StaleVersion: the base is no version of the briefing.
            Conflict: some of the messages were handed off meanwhile, with another entry; or there is
                no draft with this id any more.
            InvalidRequest: a source is no message of the conversation.
            DocumentError, StoreError: the entry or the briefing could not be written.
        """
        check_entry_id(given.entry_id)
        with self._lock:
            earlier = self._marks.find(given.entry_id)
            if earlier is not None:
                if earlier.conversation_id != given.conversation_id:
                    raise Conflict(
                        "This entry id belongs to the handoff of another conversation.", param="entry_id"
                    )
                return Confirmed(
                    earlier.entry_id, earlier.log_version, earlier.briefing_version, repeated=True
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
        if given.briefing is not None and given.base_version is not None:
            try:
                context.text_at(BRIEFING, given.base_version)
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

    def _store(self, given: Confirmation, sources: tuple[str, ...], context: ContextFolder) -> Confirmed:
        log = None
        if given.entry is not None:
            log, _ = context.append_entry(given.entry, entry_id=given.entry_id)
        briefing = None
        if given.briefing is not None:
            briefing = _stored_briefing(context, given.briefing, given.base_version)
        done = self._marks.record(
            given.entry_id,
            given.conversation_id,
            sources,
            log_version=log.version if log else None,
            briefing_version=briefing.version if briefing else None,
        )
        merged = briefing is not None and not _same(briefing.text, given.briefing or "")
        return Confirmed(done.entry_id, done.log_version, done.briefing_version, merged)

    def _wording(self, found: Extract, improve: bool) -> tuple[dict[str, str], list[str]]:
        notes = []
        if found.withheld:
            some = "1 sentence is" if found.withheld == 1 else f"{found.withheld} sentences are"
            notes.append(f"{some} left out because a password or key seems to be in it.")
        if not improve or self._rewriter is None:
            return {}, notes
        wording, said = self._rewriter.better([fact.text for fact in found.facts])
        return wording, [*notes, said]


def _stored_briefing(context: ContextFolder, text: str, base_version: str | None) -> Document:
    """An edit that is there already, from a confirmation cut off by a crash, is not merged anew."""
    present = _briefing(context)
    if present is not None and _same(present.text, text):
        return present
    return context.edit(BRIEFING, text, base_version=base_version)


def _briefing(context: ContextFolder) -> Document | None:
    try:
        return context.document(BRIEFING)
    except DocumentNotFound:
        return None


def _same(one: str, other: str) -> bool:
    return one.replace("\r\n", "\n") == other.replace("\r\n", "\n")

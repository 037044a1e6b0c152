"""What a message says, read from the memory at the moment it is sent."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from orchestrator_core.errors import NotFound
from orchestrator_core.news import News
from shared_context.documents.document_names import project_of
from shared_context.errors import ConversationNotFound, DocumentError
from shared_context.storage.identity import now

if TYPE_CHECKING:
    from orchestrator_core.assistant import Assistant

TEXT_CHARS = 600
"""Of an answer: what a phone shows."""

_TITLES = {"answer": "Your answer is ready", "better_answer": "A better answer is ready"}


class StillWatched(Exception):
    """Somebody is reading the answer, and may get to its end."""


class Composer:
    """Safe from any thread."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    def __call__(self, news: News) -> dict[str, Any] | None:
        """The message as docs/push.md describes it; None when it was seen, settled or forgotten meanwhile.

        Raises:
            StillWatched.
            StoreError.
        """
        message = self._of_document(news) if news.kind == "conflict" else self._of_answer(news)
        if message is None:
            return None
        known = news.model_dump(exclude={"ids"}, exclude_none=True)
        return {"id": news.ids[0], **known, **message, "sent_at": now()}

    def _of_answer(self, news: News) -> dict[str, Any] | None:
        conversations = self._assistant.conversations
        if news.kind == "answer" and self._was_seen(news):
            return None
        if news.message_id is None or conversations.is_deleted(news.message_id):
            return None
        title = ""
        with suppress(ConversationNotFound):  # it comes with the next exchange, as the answer does
            title = conversations.get(news.conversation_id or "").title
        answer = conversations.message(news.message_id)
        shown = {} if answer is None else {"text": answer.content[:TEXT_CHARS], "tier": answer.tier}
        return {"title": title or _TITLES[news.kind], "text": "", **shown}

    def _was_seen(self, news: News) -> bool:
        try:
            log = self._assistant.runs.get(news.run_id or "").log
        except NotFound:
            return False
        if log.followed and not log.end_seen:
            raise StillWatched
        return log.end_seen

    def _of_document(self, news: News) -> dict[str, Any] | None:
        path, context = news.document or "", self._assistant.context
        if context is None:
            return None
        try:
            conflicts = context.in_project(project_of(path)).conflicts()
        except DocumentError:
            return None
        count = sum(conflict.name == path.rpartition("/")[2] for conflict in conflicts)
        if not count:
            return None
        places = "1 place" if count == 1 else f"{count} places"
        return {
            "title": path,
            "text": f"Two devices changed {places} in {path} at once. Choose what is right.",
        }

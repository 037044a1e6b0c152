"""Ask now, better later: questions that the desktop shall answer again when it is back.

Another tier answered them in its place. The desktop is asked once for each, after it has taken in what was
said meanwhile; its answer comes with the next exchange, as a version that supersedes the first.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shared_context.conversations.messages import Message
from shared_context.conversations.store import ConversationStore
from shared_context.errors import StoreError
from shared_context.storage.database import Database
from shared_context.storage.identity import now

from orchestrator_core.errors import OrchestratorError, TierLost, TierUnreachable
from orchestrator_core.news import News
from orchestrator_core.tiers.remote import RemoteResponse, RemoteTier
from orchestrator_core.tiers.run_stream import RunStream

MOST_KEPT = 200
"""Nobody reads more answers that came late; the oldest questions are forgotten first."""

LOOK_EVERY_S = 2.0
"""Between looks whether the desktop is there, while anything is kept."""

LONGEST_PAUSE_S = 60.0
"""Between attempts, while the desktop is there and does not answer."""

SETTLE_S = 10.0
STOP_S = 5.0

_log = logging.getLogger(__name__)


def m001_questions(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE questions (message_id TEXT PRIMARY KEY, kept_at TEXT NOT NULL)")


class KeptQuestions:
    """Ids of the questions, on disk. Safe to use from any thread."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, (m001_questions,), every_commit_durable=False)

    def add(self, message_id: str) -> None:
        with self._database.write() as connection:
            connection.execute("INSERT OR IGNORE INTO questions VALUES (?, ?)", (message_id, now()))
            connection.execute(_FORGET, (MOST_KEPT,))

    def remove(self, message_id: str) -> None:
        with self._database.write() as connection:
            connection.execute("DELETE FROM questions WHERE message_id = ?", (message_id,))

    def all(self) -> list[str]:
        """Oldest first."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT message_id FROM questions ORDER BY kept_at, message_id")
            return [row["message_id"] for row in rows]

    def close(self) -> None:
        self._database.close()


class Later:
    """Asks again, in a thread that lives while there is something to ask.

    Args:
        tier: this one, which answered.
        being_answered: says whether a question's answer is still being produced here.
        tell: told of each answer that was given again.
    """

    def __init__(
        self,
        questions: KeptQuestions,
        conversations: ConversationStore,
        remote: RemoteTier,
        *,
        tier: str,
        being_answered: Callable[[str], bool],
        tell: Callable[[News], object] = lambda news: None,
    ) -> None:
        self._questions = questions
        self._conversations = conversations
        self._remote = remote
        self._tier = tier
        self._being_answered = being_answered
        self._tell = tell
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._response: RemoteResponse | None = None
        self._closed = threading.Event()

    def start(self) -> None:
        """Go on with what an earlier process kept."""
        if self._questions.all():
            self._ensure_thread()

    def keep(self, message_id: str) -> None:
        """Have this stored question answered again. A full disk loses the wish, not the answer."""
        try:
            self._questions.add(message_id)
        except StoreError as error:
            _log.warning("A question is not asked again later: %s", error)
            return
        self._ensure_thread()

    def close(self) -> None:
        """What is kept stays for the next start. Idempotent."""
        self._closed.set()
        with self._lock:
            thread, response = self._thread, self._response
        if response is not None:
            response.close()
        if thread is not None:
            thread.join(STOP_S)
            if thread.is_alive():
                return  # it waits for the other tier's first word; its file is closed with the process
        self._questions.close()

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._work, name="asking-later", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        pause, failures = LOOK_EVERY_S, 0
        while not self._closed.wait(pause):
            try:
                state = self._remote.state()
                if state.reachable and state.ready:
                    self._ask_all(state.name)
                    pause, failures = LOOK_EVERY_S, 0
                with self._lock:
                    if not self._questions.all():
                        self._thread = None
                        return
            except (OrchestratorError, StoreError) as error:
                _log.info("Questions for the desktop wait on: %s", error)
                failures += 1
                pause = min(LONGEST_PAUSE_S, LOOK_EVERY_S * 2**failures)

    def _ask_all(self, tier: str) -> None:
        """
        Raises:
            TierUnreachable, StoreError: the rest waits.
        """
        if not self._remote.settle(SETTLE_S):
            raise TierUnreachable(f"the {tier} has not taken in yet what was said here")
        for message_id in self._questions.all():
            if self._closed.is_set():
                return
            if self._being_answered(message_id):
                continue
            question = self._conversations.message(message_id)
            answer = self._conversations.answer_to(message_id)
            if question is not None and (answer is None or answer.tier != tier):
                self._ask(question, tier)
            self._questions.remove(message_id)

    def _ask(self, question: Message, tier: str) -> None:
        fields = {
            "message": question.content,
            "message_id": question.message_id,
            "conversation_id": question.conversation_id,
            "regenerate": True,
            "tier": tier,
            "via": self._tier,
        }
        response = self._remote.open(
            "POST",
            "/chat/stream",
            headers={"content-type": "application/json", "accept": "text/event-stream"},
            body=json.dumps(fields).encode("ascii"),
        )
        with self._lock:
            self._response = response
        try:
            if response.status in (429, 502, 503, 504):
                raise TierUnreachable(f"the {tier} answered {response.status}")
            if response.status != 200:
                _log.info("The %s does not answer a question again: %d", tier, response.status)
                return
            stream = RunStream()
            for chunk in response.chunks():
                for event in stream.feed(chunk):
                    if event.name == "done":
                        self._given_again(question, event.data)
                    if event.name in ("done", "error"):
                        return
                if self._closed.is_set():
                    break
            raise TierLost(f"the answer of the {tier} broke off")
        finally:
            response.close()

    def _given_again(self, question: Message, done: Mapping[str, Any]) -> None:
        run_id, message_id = done.get("run_id"), done.get("message_id")
        if isinstance(run_id, str) and isinstance(message_id, str):
            self._tell(News.answered(run_id, question.conversation_id, message_id, better=True))


_FORGET = """DELETE FROM questions WHERE message_id NOT IN (
    SELECT message_id FROM questions ORDER BY kept_at DESC, message_id DESC LIMIT ?)"""

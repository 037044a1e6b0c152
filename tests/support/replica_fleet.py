"""Several replicas of one memory in one process, and everything that can happen between them.

Exchanges go through JSON as on the wire. A crash is what `kill -9` leaves: the files as they lay on
disk at some moment, opened anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from shared_context.conversations.messages import Message
from shared_context.conversations.migrations import MIGRATIONS
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder
from shared_context.exchange.exchange import Exchange, PageSize, answer
from shared_context.exchange.replica import Replica
from shared_context.exchange.wire import SyncAnswer, SyncRequest
from shared_context.storage.clock import Clock
from shared_context.storage.database import Database
from shared_context.storage.identity import after, now

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"
A_YEAR = timedelta(days=365)
CONVERSATIONS = ("default", "trip", "house", "garden")


@dataclass
class Node:
    """One replica: its files and what is opened of them."""

    name: str
    folder: Path
    store: ConversationStore
    context: ContextFolder | None
    replica: Replica
    step: list[Callable[[str], None]]

    def close(self) -> None:
        if self.context is not None:
            self.context.close()
        self.store.close()


@dataclass
class Mail:
    """Requests and answers that were kept back, to arrive late, twice or never."""

    requests: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


class Fleet:
    """
    Args:
        documents: how many of the replicas, from the first, keep documents. The first is the
            desktop; the others start without any. The third one's clock is a year ahead.
        page: how much goes into one message.
    """

    def __init__(self, root: Path, size: int, *, documents: int = 0, page: PageSize | None = None) -> None:
        self.root = root
        self.page = page or PageSize(records=3, bytes=2000)
        self.count = 0
        self.generation = 0
        self.said: dict[str, str] = {}
        self.answers: list[str] = []
        self.deleted: set[str] = set()
        self.lines: set[str] = set()
        self.removed: set[str] = set()
        self.entries: set[str] = set()
        self.backups: dict[int, Path] = {}
        self.mail = Mail()
        self.nodes = [self._open(f"r{i}", root / f"r{i}", i < documents, i == 0) for i in range(size)]
        if documents:
            self._first_lines()

    def say(self, who: int, conversation: str, text: str | None = None) -> None:
        store = self.nodes[who].store
        self.count += 1
        store.create(conversation)
        message = store.add_message(conversation, "user", text or f"message {self.count}")
        self.said[message.message_id] = message.content

    def answer(self, who: int, conversation: str, at: int) -> None:
        """An answer, mostly another version of an earlier one, which need not have come here yet."""
        store = self.nodes[who].store
        self.count += 1
        store.create(conversation)
        former = self.answers[at % len(self.answers)] if self.answers and at % 4 else None
        message = store.add_message(
            conversation, "assistant", f"a {self.count}", supersedes=former, receipt=self._receipt(at)
        )
        self.answers.append(message.message_id)
        self.said[message.message_id] = message.content

    def deliver_twice(self, who: int, other: int, conversation: str) -> None:
        """What a phone does that got no answer: the same message to two tiers."""
        self.count += 1
        for node in (self.nodes[who], self.nodes[other]):
            node.store.create(conversation)
            if node.store.message(f"m{self.count}") is None:
                node.store.add_message(conversation, "user", f"m {self.count}", message_id=f"m{self.count}")
        self.said[f"m{self.count}"] = f"m {self.count}"

    def clear(self, who: int, conversation: str, *, delete: bool = False) -> None:
        store = self.nodes[who].store
        if conversation not in {one.conversation_id for one in store.list()}:
            return
        self.deleted |= {message.message_id for message in store.messages(conversation)}
        versions = store.versions(conversation).values()
        self.deleted |= {message.message_id for some in versions for message in some}
        (store.delete if delete else store.clear)(conversation)

    def rename(self, who: int, conversation: str) -> None:
        store = self.nodes[who].store
        if conversation in {one.conversation_id for one in store.list()}:
            self.count += 1
            store.rename(conversation, f"title {self.count}")

    def append(self, who: int, crash_at: str | None = None) -> None:
        """An entry for the log; with `crash_at` the process dies at that durable step of it."""
        node = self.nodes[who]
        if node.context is None or not node.context.documents():
            return
        self.count += 1
        entry = f"entry {self.count}\nends {self.count}"
        self.entries.add(entry)
        context = node.context
        self._crashing(who, crash_at, lambda: context.append_entry(entry))

    def edit(self, who: int, at: int, kind: str) -> None:
        context = self.nodes[who].context
        if context is None or not context.documents():
            return
        document = context.document(BRIEFING)
        lines = document.text.split("\n")
        at = min(at, len(lines) - 1)
        self.count += 1
        new = f"line {self.count}"
        self.lines.add(new)
        if kind == "insert" or at == len(lines) - 1:
            lines[at:at] = [new]
        else:
            self.removed.add(lines[at])
            lines[at] = new
        context.edit(BRIEFING, "\n".join(lines), base_version=document.version)

    def exchange(self, who: int, other: int, *, steps: int = 1000, keep: bool = False) -> Exchange:
        """`who` calls `other`.

        Args:
            steps: how many messages get through before the connection breaks.
            keep: copies of the messages arrive later (`late_mail`).
        """
        caller = Exchange(self.nodes[who].replica, self.page)
        while (request := caller.next_request()) is not None:
            posted = request.model_dump_json()
            if keep:
                self.mail.requests.append(posted)
            if (steps := steps - 1) < 0:
                break
            reply = self._answer(other, posted)
            if keep:
                self.mail.answers.append(reply)
            if (steps := steps - 1) < 0:
                break
            caller.take(SyncAnswer.model_validate_json(reply))
        return caller

    def exchange_and_crash(self, who: int, other: int, victim: int, crash_at: str) -> None:
        """One of the two dies at that durable step of taking in the other's documents."""
        self._crashing(victim, crash_at, lambda: self.exchange(who, other))

    def late_mail(self, who: int, random: Random) -> None:
        """Something of long ago arrives, at anyone."""
        if self.mail.requests:
            self._answer(who, random.choice(self.mail.requests))
        if self.mail.answers:
            late = SyncAnswer.model_validate_json(random.choice(self.mail.answers))
            replica = self.nodes[who].replica
            if replica.documents is None:
                late = late.model_copy(update={"documents": None})
            caller = Exchange(replica, self.page)
            caller.next_request()
            tolerant(lambda: caller.take(late))

    def crash(self, who: int, in_the_middle: Callable[[], None] | None = None) -> None:
        """Die now, or inside a transaction that was about to receive something."""
        if in_the_middle is None:
            self._replace(who, self._image(who))
            return
        with self.nodes[who].store.database.write():
            in_the_middle()
            image = self._image(who)
        self._replace(who, image)

    def back_up(self, who: int) -> None:
        self.backups[who] = self._image(who)

    def restore(self, who: int) -> None:
        """Put the backup back, after others got what was written since."""
        if who in self.backups:
            self.settle()
            self._replace(who, self.backups.pop(who))

    def clone(self, who: int) -> None:
        """Copy the data folder; the copy lives on as one more replica."""
        node = self.nodes[who]
        image = self._image(who)
        self.nodes.append(self._open(f"{node.name}c", image, node.context is not None, False))

    def settle(self) -> None:
        """Everyone's news to everyone: in a line and back; documents, which not all keep, by way of
        the desktop."""
        for _ in range(4):
            for one in [*range(1, len(self.nodes)), *range(1, len(self.nodes))]:
                if self.nodes[one].context is not None:
                    self.exchange(one, 0)
            for one in range(1, len(self.nodes)):
                self.exchange(one, one - 1)
            for one in range(len(self.nodes) - 1, 0, -1):
                self.exchange(one - 1, one)
            if self.settled():
                return
        raise AssertionError("the replicas do not come to rest")

    def settled(self) -> bool:
        states = [node.replica.state() for node in self.nodes]
        documents = {state.documents for state in states if state.documents is not None}
        return all(state.vector == states[0].vector for state in states) and len(documents) <= 1

    def check(self) -> None:
        """All equal, nothing lost, nothing doubled."""
        views = [_view(node.store) for node in self.nodes]
        assert all(view == views[0] for view in views), views
        there = {message_id: text for messages in views[0][1].values() for message_id, text in messages}
        wanted = {key: text for key, text in self.said.items() if key not in self.deleted}
        assert there == wanted
        for node in self.nodes:
            self._check_receipts(node.store)
        self._check_documents()

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def _receipt(self, at: int) -> dict[str, Any]:
        """Of an answer that recalled something; what, need not be here any more, or yet."""
        said = list(self.said.items())[at % 7 :: 7]
        return {"retrieved": [{"source": "message", "id": key, "text": text} for key, text in said[-3:]]}

    def _check_receipts(self, store: ConversationStore) -> None:
        """They quote what is there, and nothing that was deleted."""
        with store.database.read() as connection:
            rows = connection.execute("SELECT receipt FROM messages WHERE receipt IS NOT NULL").fetchall()
        for use in (use for row in rows for use in json.loads(row["receipt"])["retrieved"]):
            assert use["text"] == ("" if use["id"] in self.deleted else self.said[use["id"]])

    def _check_documents(self) -> None:
        folders = [node.context for node in self.nodes if node.context is not None]
        if not folders:
            return
        texts = [[document.text for document in folder.documents()] for folder in folders]
        assert all(text == texts[0] for text in texts)
        lines = [line for line in folders[0].document(BRIEFING).text.split("\n") if line]
        assert sorted(lines) == sorted(self.lines - self.removed)
        log = folders[0].document(LOG).text
        assert all(log.count(f"\n{entry}\n") == 1 for entry in self.entries)

    def _first_lines(self) -> None:
        context = self.nodes[0].context
        assert context is not None
        self.lines = {f"base {i}" for i in range(5)}
        context.edit(BRIEFING, "".join(f"{line}\n" for line in sorted(self.lines)))

    def _answer(self, who: int, request: str) -> str:
        node = self.nodes[who]
        parsed = SyncRequest.model_validate_json(request)
        if node.context is None:
            parsed = parsed.model_copy(update={"documents": None, "update": None})
        return answer(node.replica, parsed).model_dump_json()

    def _open(self, name: str, folder: Path, documents: bool, starters: bool) -> Node:
        store = ConversationStore(Database(folder / "memory.db", MIGRATIONS, every_commit_durable=False))
        if name.startswith("r2"):
            store.clock = Clock(lambda: after(now(), A_YEAR))
        step: list[Callable[[str], None]] = [lambda _: None]
        context = None
        if documents:
            context = ContextFolder(
                folder / "context",
                state=folder / "state",
                author=name,
                starters=starters,
                step=lambda done: step[0](done),
            )
        return Node(name, folder, store, context, Replica(store, context, name=name), step)

    def _crashing(self, who: int, crash_at: str | None, action: Callable[[], object]) -> None:
        """Do it, then go on from the files as they were at the first such step, if there was one."""
        image: list[Path] = []

        def step(name: str) -> None:
            if name == crash_at and not image:
                image.append(self._image(who))

        self.nodes[who].step[0] = step
        action()
        self.nodes[who].step[0] = lambda _: None
        if image:
            self._replace(who, image[0])

    def _image(self, who: int) -> Path:
        """The files as they lie on disk now."""
        self.generation += 1
        image = self.root / f"image{self.generation}"
        shutil.copytree(self.nodes[who].folder, image, ignore=shutil.ignore_patterns("*-shm", "lock"))
        return image

    def _replace(self, who: int, image: Path) -> None:
        node = self.nodes[who]
        node.close()
        self.nodes[who] = self._open(node.name, image, node.context is not None, False)


def tolerant(action: Callable[[], object]) -> None:
    """A late update may build on lines that are not here yet; it is refused then, and comes again."""
    from shared_context.errors import DocumentRejected

    try:
        action()
    except DocumentRejected as error:
        assert "missing" in error.message


def _view(store: ConversationStore) -> tuple[list[tuple[str, ...]], dict[str, list[tuple[str, str]]]]:
    """What a person sees of the conversations, but for when the empty default one was made."""
    listed = [
        (one.conversation_id, one.title, str(one.turn_count))
        + ((one.created_at, one.updated_at) if one.conversation_id != "default" else ())
        for one in store.list(1000)
    ]
    messages = {one[0]: [*store.messages(one[0]), *_hidden(store, one[0])] for one in listed}
    return sorted(listed), {
        key: [(message.message_id, message.content) for message in found] for key, found in messages.items()
    }


def _hidden(store: ConversationStore, conversation: str) -> list[Message]:
    """Versions of answers that are not shown, by the answer they belong to."""
    return [message for _, some in sorted(store.versions(conversation).items()) for message in some]

"""Makes the test vectors in docs/vectors, which any client of the exchange can be checked against.

    python tests/support/sync_vectors.py      writes them anew

They come out the same every time: ids, clocks and random parts are fixed here.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from pycrdt import Doc
from shared_context.conversations import store as conversations
from shared_context.conversations.store import ConversationStore
from shared_context.documents import crdt
from shared_context.documents.crdt import SharedLines
from shared_context.documents.line_diff import LineChange, merge_edit, split_lines
from shared_context.exchange import exchange
from shared_context.exchange.exchange import Exchange, PageSize
from shared_context.exchange.replica import Replica
from shared_context.exchange.shared_documents import digest, encode
from shared_context.exchange.update_pages import first_page
from shared_context.exchange.wire import SyncAnswer
from shared_context.storage.clock import Clock

FOLDER = Path(__file__).parents[2] / "docs" / "vectors"
BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"
BASE = "# Briefing\n\none\ntwo\nthree\n"


def document_vectors() -> dict[str, Any]:
    """Updates of several replicas, and what everyone has after all of them."""
    hunks = itertools.count(1)
    with mock.patch.object(crdt.secrets, "token_urlsafe", lambda _: f"hunk{next(hunks)}"):
        return {
            "about": "Apply the updates in any order: texts, elements, deletions and digest come out so.",
            "cases": [*(_case(name, *edits) for name, edits in _CASES.items()), _in_parts()],
        }


def exchange_vectors() -> dict[str, Any]:
    """A whole exchange, message by message: bodies of POST /sync and their answers."""
    with tempfile.TemporaryDirectory() as folder, _fixed_time():
        phone = _store(Path(folder) / "phone.db", "replica-phone", "aaaaaaaaaaaaaaaa")
        desktop = _store(Path(folder) / "desktop.db", "replica-desktop", "bbbbbbbbbbbbbbbb")
        with phone, desktop:
            _talk(phone, desktop)
            replicas = Replica(phone, name="phone"), Replica(desktop, name="desktop")
            before = [_contents(store) for store in (phone, desktop)]
            steps = _transcript(*replicas)
            return {
                "about": "phone calls desktop, three records at a time; both have the same afterwards.",
                "before": {"phone": before[0], "desktop": before[1]},
                "steps": steps,
                "after": _contents(phone),
                "state": {"vector": replicas[0].log.vector(), "digest": replicas[0].state().digest},
            }


def write() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, made in _FILES.items():
        content = made()
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (FOLDER / name).write_text(text + "\n", encoding="utf-8")


Edit = tuple[str, Callable[[str], str]]
"""Which document one replica edits, and how."""


def _lines(client: int) -> SharedLines:
    lines = SharedLines()
    lines._doc = Doc(client_id=client, allow_multithreading=True)
    return lines


def _edit(lines: SharedLines, path: str, text: str, author: str) -> bytes:
    before = split_lines(lines.text(path)) if lines.texts(path) else []
    return lines.change(path, merge_edit(before, split_lines(text), lines.texts(path)), author)


def _case(name: str, first: str, path: str, *sides: Callable[[str], str]) -> dict[str, Any]:
    """A first text, and what each side makes of it without knowing of the others."""
    origin = _lines(1)
    updates = [_edit(origin, path, first, "desktop")]
    for number, side in enumerate(sides, start=2):
        lines = _lines(number * 1000)
        lines.load(updates[0])
        updates.append(_edit(lines, path, side(lines.text(path)), f"device{number}"))
    return _outcome(name, updates)


def _in_parts() -> dict[str, Any]:
    """One insertion too large for a message, its second half edited: the first part ends within it."""
    origin, other = _lines(1), _lines(2000)
    origin.change(LOG, [LineChange(0, 0, tuple(f"line {number}" for number in range(40)))], "desktop")
    other.load(origin.update_since())
    other.change(LOG, [LineChange(30, 31, ("another line 30",))], "device2")
    first = first_page(other.update_since(), 200)
    receiver = _lines(98)
    receiver.receive(first)
    return _outcome(
        "an update in two parts, the first one first", [first, other.update_since(receiver.state_vector())]
    )


def _outcome(name: str, updates: Sequence[bytes]) -> dict[str, Any]:
    result = _lines(99)
    for update in updates:
        result.load(update)
    vector = result.state_vector()
    return {
        "name": name,
        "updates": [encode(update) for update in updates],
        "texts": {path: result.text(path) for path in result.paths()},
        "elements": {path: [line.element() for line in result.lines(path)] for path in result.paths()},
        "digest": digest(vector, result.update_since(vector)),
    }


def _entry(entry_id: str) -> Callable[[str], str]:
    return lambda text: (
        f"{text}\n## 2026-01-02 03:04 UTC · device <!-- entry:{entry_id} -->\n\nDid {entry_id}.\n"
    )


_CASES: dict[str, Sequence[Any]] = {
    "a first text": (BASE, BRIEFING),
    "different lines changed at once": (
        BASE, BRIEFING, lambda text: text.replace("one", "ONE"), lambda text: text.replace("three", "THREE"),
    ),
    "the same line changed at once keeps both": (
        BASE, BRIEFING, lambda text: text.replace("two", "2 here"), lambda text: text.replace("two", "2 there"),
    ),
    "a deletion alone": (BASE, BRIEFING, lambda text: text.replace("two\n", "")),
    "entries appended at once do not interleave": ("# Log\n", LOG, _entry("p1"), _entry("p2")),
    "emoji and CRLF": ("# 🦜\r\nzwei\r\n", BRIEFING, lambda text: text.replace("zwei", "drei 漢字")),
}  # fmt: skip


def _fixed_time() -> Any:
    moments = (f"2026-01-02T03:04:{second:02}.000000Z" for second in itertools.count())
    times = mock.Mock(side_effect=lambda: next(moments))
    return _Together(
        mock.patch.object(conversations, "now", times),
        mock.patch.object(exchange, "now", lambda: "2026-01-02T04:00:00.000000Z"),
    )


class _Together:
    def __init__(self, *managers: Any) -> None:
        self._managers = managers

    def __enter__(self) -> None:
        for manager in self._managers:
            manager.__enter__()

    def __exit__(self, *error: object) -> None:
        for manager in reversed(self._managers):
            manager.__exit__(*error)


def _store(path: Path, replica_id: str, origin: str) -> ConversationStore:
    store = ConversationStore.open(path)
    with store.database.write() as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'replica_id'", (replica_id,))
        connection.execute("DELETE FROM origins")
    store.writer._origin = origin
    store.clock = Clock(conversations.now)
    return store


def _talk(phone: ConversationStore, desktop: ConversationStore) -> None:
    desktop.create("trip", "The trip")
    desktop.add_message("trip", "user", "Where to? 🦜", message_id="d1", tier="desktop")
    desktop.add_message(
        "trip", "assistant", "North.", message_id="d2", reply_to="d1", tier="desktop", model="tiny",
        run_id="run-1", receipt={"tokens": 3},
    )  # fmt: skip
    phone.add_message("default", "user", "Sent twice.", message_id="twice", tier="phone")
    desktop.add_message("default", "user", "Sent twice.", message_id="twice", tier="phone")
    phone.create("doomed")
    phone.add_message("doomed", "user", "Never mind.", message_id="p1", tier="phone")
    phone.delete("doomed")
    phone.create("trip")
    phone.add_message(
        "trip", "assistant", "South.", message_id="p2", reply_to="d1", tier="phone", supersedes="d2"
    )
    desktop.rename("trip", "The long trip")


def _transcript(phone: Replica, desktop: Replica) -> list[dict[str, Any]]:
    caller = Exchange(phone, PageSize(records=3))
    steps = []
    while (request := caller.next_request()) is not None:
        reply: SyncAnswer = exchange.answer(desktop, request)
        caller.take(reply)
        steps.append(
            {
                "request": request.model_dump(mode="json"),
                "answer": reply.model_dump(mode="json"),
            }
        )
    return steps


def _contents(store: ConversationStore) -> dict[str, Any]:
    listed = sorted(store.list(1000), key=lambda one: one.conversation_id)
    return {one.conversation_id: {"title": one.title, **_shown(store, one.conversation_id)} for one in listed}


def _shown(store: ConversationStore, conversation_id: str) -> dict[str, Any]:
    versions = store.versions(conversation_id)
    return {
        "messages": [[message.message_id, message.content] for message in store.messages(conversation_id)],
        "versions": {key: [message.message_id for message in some] for key, some in versions.items()},
    }


def version_vectors() -> dict[str, Any]:
    """Answers that supersede each other, and what is shown of them."""
    return {
        "about": "One conversation each: its messages in any order, and then which are shown, in order.",
        "cases": [_versions(name, *messages) for name, messages in _VERSIONS.items()],
    }


def _versions(name: str, *messages: tuple[str, str | None, str | None]) -> dict[str, Any]:
    """Messages are written a second apart: (id, the question it replies to, what it supersedes)."""
    with tempfile.TemporaryDirectory() as folder, ConversationStore.open(Path(folder) / "m.db") as store:
        told = []
        for second, (message_id, reply_to, supersedes) in enumerate(messages):
            fields = {
                "message_id": message_id,
                "created_at": f"2026-01-02T03:04:{second:02}.000000Z",
                "reply_to": reply_to,
                "supersedes": supersedes,
            }
            role = "user" if message_id.startswith("q") else "assistant"
            store.add_message("default", role, message_id, **fields)
            told.append({"role": role, **{key: value for key, value in fields.items() if value is not None}})
        shown = _shown(store, "default")
    return {
        "name": name,
        "messages": told,
        "shown": [message_id for message_id, _ in shown["messages"]],
        "versions": shown["versions"],
    }


_VERSIONS: dict[str, Sequence[tuple[str, str | None, str | None]]] = {
    "nothing supersedes anything": (("q1", None, None), ("a1", "q1", None), ("a2", "q1", None)),
    "a better answer stands where the first one stood": (
        ("q1", None, None), ("a1", "q1", None), ("q2", None, None), ("a2", "q2", None), ("a3", "q1", "a1"),
    ),
    "the superseded one came later": (
        ("q1", None, None), ("vps", "q1", "desktop"), ("q2", None, None), ("desktop", "q1", None),
    ),
    "what is named never came": (("q1", None, None), ("a1", "q1", None), ("vps", "q1", "lost")),
    "two supersede the same": (("q1", None, None), ("a1", "q1", None), ("x", None, "a1"), ("y", None, "a1")),
    "in a circle the latest": (("q1", None, None), ("x", None, "y"), ("y", None, "x")),
    "a question is never superseded": (("q1", None, None), ("x", None, "q1")),
}  # fmt: skip


_FILES: dict[str, Callable[[], dict[str, Any]]] = {
    "documents.json": document_vectors,
    "exchange.json": exchange_vectors,
    "versions.json": version_vectors,
}

if __name__ == "__main__":
    write()

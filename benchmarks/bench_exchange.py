"""What an exchange between two replicas costs: against the difference, and against the history.

    python benchmarks/bench_exchange.py                   # up to 100,000 messages, 10,000 edits; minutes
    python benchmarks/bench_exchange.py --quick

Both replicas are in this process; requests and answers go through JSON as on the wire, without a
network. Bytes are those of all requests and answers together. The last table is the time from an
edit on one tier until a connected one has it, over HTTP and server-sent events on loopback.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

import click
from ai_orchestrator.server import Server
from measuring import describe_run, middle, show
from orchestrator_core.assistant import open_assistant
from orchestrator_core.settings import Settings
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder
from shared_context.exchange.exchange import Exchange, answer
from shared_context.exchange.replica import Replica
from shared_context.exchange.sync_client import SyncClient
from shared_context.exchange.wire import SyncAnswer, SyncRequest

# The test double of a model.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.scripted import BACKEND, ScriptedBackend, echo

REPEAT = 5
COLUMNS = ["ms", "processor ms", "kB", "rounds"]
BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"
TEXT = "What was decided about the relay, the phone and the desktop, in about as many words as a chat has. "


class Cost(NamedTuple):
    """Of one whole exchange, both sides together. The processor's time leaves out what waits for the disk,
    and for other programs."""

    ms: float
    processor_ms: float
    kilobytes: float
    rounds: int


def exchange(caller: Replica, server: Replica) -> Cost:
    began, worked, size = time.perf_counter(), time.process_time(), 0
    run = Exchange(caller)
    while (request := run.next_request()) is not None:
        sent = request.model_dump_json()
        reply = answer(server, SyncRequest.model_validate_json(sent)).model_dump_json()
        size += len(sent) + len(reply)
        run.take(SyncAnswer.model_validate_json(reply))
    assert run.report.complete
    spent, worked = time.perf_counter() - began, time.process_time() - worked
    return Cost(spent * 1000, worked * 1000, size / 1000, run.report.rounds)


def row(label: str, change: Callable[[], None], caller: Replica, server: Replica) -> list[str]:
    """Make a difference, exchange; the middle of several times."""
    found = []
    for _ in range(REPEAT):
        change()
        found.append(exchange(caller, server))
    return told(label, *found)


def told(label: str, *costs: Cost) -> list[str]:
    return [label, *(f"{middle(values):.1f}" for values in zip(*costs, strict=True))]


def say(store: ConversationStore, count: int) -> None:
    with store.database.write():
        for number in range(count):
            conversation = f"c{number % 100}"
            if number < 100:
                store.create(conversation)
            store.add_message(conversation, "user", TEXT)


def stores(folder: Path, history: int) -> tuple[Replica, Replica]:
    """Two replicas with the same history."""
    with ConversationStore.open(folder / "a.db") as store:
        say(store, history)
    shutil.copy(folder / "a.db", folder / "b.db")
    opened = [ConversationStore.open(folder / f"{name}.db") for name in "ab"]
    with opened[0].database.write() as connection:
        # Else the two would notice that one is a clone of the other.
        connection.execute("UPDATE meta SET value = 'phone' WHERE key = 'replica_id'")
    phone, desktop = (
        Replica(store, name=name) for store, name in zip(opened, ("phone", "desktop"), strict=True)
    )
    return phone, desktop


def conversations(root: Path, histories: list[int], differences: list[int]) -> None:
    rows = []
    for history in histories:
        folder = root / str(history)
        folder.mkdir()
        phone, desktop = stores(folder, history)
        for difference in differences if history == histories[-1] else [10]:
            change = partial(say, desktop.conversations, difference)
            rows.append(row(f"{history:,} messages, {difference:,} new", change, phone, desktop))
        for replica in (phone, desktop):
            replica.conversations.close()
    show("Conversations", ["history, difference", *COLUMNS], rows)


def documents(root: Path, entries: int, edits: int) -> None:
    """A log of so many entries and a briefing edited so often, at random places."""
    rows, random = [], Random(1)
    with ExitStack() as stack:
        replicas = []
        for name in ("desktop", "vps"):
            store = stack.enter_context(ConversationStore.open(root / name / "memory.db"))
            context = ContextFolder(
                root / name / "c", state=root / name / "s", author=name, starters=name == "desktop"
            )
            stack.callback(context.close)
            replicas.append((Replica(store, context, name=name), context))
        (desktop, folder), (vps, _) = replicas

        def edit() -> None:
            lines = folder.document(BRIEFING).text.split("\n")
            lines[random.randrange(len(lines) - 1)] = f"edited {random.random()}"
            folder.edit(BRIEFING, "\n".join(lines))

        def append() -> None:
            folder.append_entry("What was done.\n\n- one\n- two")

        exchange(vps, desktop)
        rows += [row("fresh: one edit", edit, vps, desktop), row("fresh: one entry", append, vps, desktop)]
        for _ in range(entries):
            append()
        for _ in range(edits):
            edit()
        rows.append(told(f"everything: {entries:,} entries, {edits:,} edits", exchange(vps, desktop)))
        rows.append(row("then nothing", lambda: None, vps, desktop))
        rows += [row("then one edit", edit, vps, desktop), row("then one entry", append, vps, desktop)]
        total = len(folder.update_since())
        text = sum(len(one.text.encode()) for one in folder.documents())
        rows.append(
            [
                f"(the whole as one update: {total / 1000:.0f} kB, of {text / 1000:.0f} kB text)",
                "",
                "",
                "",
                "",
            ]
        )
    show("Documents", ["difference", *COLUMNS], rows)


def latency(root: Path, times: int) -> None:
    """From an edit on the server until a client that listens has taken it in."""
    settings = Settings.model_validate(
        {"data": root / "server", "model": {"backend": BACKEND, "path": "echo"}, "server": {"port": 0}}
    )
    with ExitStack() as stack:
        assistant = stack.enter_context(open_assistant(settings, backend=ScriptedBackend(echo)))
        server = Server(settings, assistant).start()
        stack.callback(server.stop, drain_s=0)
        store = stack.enter_context(ConversationStore.open(root / "phone" / "memory.db"))
        context = ContextFolder(
            root / "phone" / "c", state=root / "phone" / "s", author="phone", starters=False
        )
        stack.callback(context.close)
        replica = Replica(store, context, name="phone")
        listener, caller = (stack.enter_context(SyncClient(server.url, replica)) for _ in range(2))
        arrived = threading.Semaphore(0)

        def follow() -> None:
            for _ in listener.notices():
                if caller.exchange().complete:
                    arrived.release()

        threading.Thread(target=follow, daemon=True).start()
        arrived.acquire(timeout=10)
        spent: dict[str, list[float]] = {"a message": [], "an edit through the API": [], "a file saved": []}
        briefing = assistant.context.folder / BRIEFING if assistant.context else Path()
        for number in range(times):
            for what in spent:
                text = f"{what} {number}"
                began = time.perf_counter()
                if what == "a message":
                    assistant.conversations.add_message("default", "user", text)
                elif what == "a file saved":
                    briefing.write_text(f"{text}\n")
                elif assistant.context is not None:
                    assistant.context.append_entry(text)
                while not _has(replica, context, what, text):
                    arrived.acquire(timeout=10)
                spent[what].append((time.perf_counter() - began) * 1000)
        server.services.closing.set()
    rows = [
        [what, f"{middle(found):.0f}", f"{sorted(found)[int(0.95 * (len(found) - 1))]:.0f}"]
        for what, found in spent.items()
    ]
    show("From a change on one tier to a connected other (ms)", ["change", "median", "p95"], rows)


def _has(replica: Replica, context: ContextFolder, what: str, text: str) -> bool:
    if what == "a message":
        return any(one.content == text for one in replica.conversations.messages("default", limit=3))
    return text in context.document(BRIEFING if what == "a file saved" else LOG).text


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="A hundredth of everything.")
def main(quick: bool) -> None:
    describe_run()
    part = 100 if quick else 1
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        histories = [each // part for each in (1_000, 10_000, 100_000)]
        conversations(root, histories, [0, 1, 10, 100, 1_000, 10_000 // part])
        documents(root / "documents", 1_000 // part, 10_000 // part)
        latency(root / "latency", 20 if not quick else 3)


if __name__ == "__main__":
    main()

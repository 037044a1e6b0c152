"""A backup made while a server and other writers work is true to one moment."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path

import pytest
import requests
from orchestrator_core.backup.making import back_up
from orchestrator_core.backup.restoring import restore
from orchestrator_core.backup.snapshot import DataPlace
from orchestrator_core.runs.store import RunStore
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder
from support.children import Child
from support.command_line import fresh_user, orchestrator, serving

BACKUPS = 8

WRITER = """
    import sys, threading
    from pathlib import Path
    from shared_context.conversations.store import ConversationStore
    from shared_context.documents.context_folder import ContextFolder

    data = Path(sys.argv[1])
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    folder = ContextFolder(data / "context", state=data / "context-state")
    with ConversationStore.open(data / "memory.db") as store:
        number = 0
        while not stop.is_set():
            with store.database.write():
                store.add_message("default", "user", f"question {number}")
                store.add_message("default", "assistant", f"answer {number}")
            folder.append_entry(f"entry {number}", entry_id=f"e{number}")
            print(number)
            number += 1
    folder.close()
"""


class Progress:
    """Reads what the writer says; `last` is the last number it has stored everything of."""

    def __init__(self, writer: Child) -> None:
        self.last = -1
        self._changed = threading.Condition()
        threading.Thread(target=self._read, args=(writer,), daemon=True).start()

    def wait_for(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.last >= number, timeout=60)

    def _read(self, writer: Child) -> None:
        while line := writer.line():
            with self._changed:
                self.last = int(line)
                self._changed.notify_all()


def git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def entry_ids(folder: ContextFolder) -> set[int]:
    """The numbers of the entries in the log and in its archives, to which a fast writer's older ones have moved."""
    logs = [folder.document("SESSION_LOG.md"), *folder.archives()]
    return {int(number) for log in logs for number in re.findall("<!-- entry:e([0-9]+)", log.text)}


def check_restored(data: Path, stored_before: int) -> None:
    with ConversationStore.open(data / "memory.db") as store:
        contents = [message.content for message in store.messages("default")]
    count = len(contents) // 2
    assert count > stored_before
    assert contents == [f"{kind} {n}" for n in range(count) for kind in ("question", "answer")]
    on_disk = (data / "context" / "SESSION_LOG.md").read_text()
    folder = ContextFolder(data / "context", state=data / "context-state")
    try:
        log = folder.document("SESSION_LOG.md")
        versions = folder.history("SESSION_LOG.md", 10_000)
        entries = entry_ids(folder)
        rollovers = sum("moved to their archive" in version.summary for version in versions)
        # Nothing looked like an edit that somebody made meanwhile.
        assert folder.problems() == [] and folder.conflicts() == []
        assert entries == set(range(len(entries)))
        assert len(versions) == len(entries) + rollovers + 1
        assert len(entries) > stored_before
        assert log.text.startswith(on_disk.rstrip("\n"))
        for version in (versions[0], versions[len(versions) // 2], versions[-1]):
            assert folder.text_at("SESSION_LOG.md", version.version)
    finally:
        folder.close()
    history = data / "context-state" / "history.git"
    assert git(history, "fsck", "--strict", "--no-dangling") == ""
    assert int(git(history, "rev-list", "--count", "main", "--", "SESSION_LOG.md")) == len(versions)


@pytest.mark.slow
def test_backups_while_a_writer_never_rests(tmp_path: Path):
    data = tmp_path / "data"
    place = DataPlace(data, data / "context")
    with Child(WRITER, data) as writer:
        progress = Progress(writer)
        made = []
        for _ in range(BACKUPS):
            progress.wait_for(progress.last + 3)
            before = progress.last
            made.append((back_up(place, tmp_path / "backups").path, before))
        progress.wait_for(progress.last + 1)
        writer.tell("stop")
    for number, (archive, before) in enumerate(made):
        target = tmp_path / f"restored {number}" / "data"
        restore(archive, DataPlace(target, target / "context"))
        check_restored(target, before)


@pytest.mark.slow
def test_the_command_while_a_server_answers(tmp_path: Path):
    env = fresh_user(tmp_path)
    answered: list[str] = []
    with serving(env) as url:
        stop, failures = threading.Event(), []

        def ask() -> None:
            number = 0
            while not stop.is_set():
                answer = requests.post(f"{url}/chat", json={"message": f"question {number}"}, timeout=30)
                if answer.status_code != 200:
                    failures.append(answer.text)
                    return
                answered.append(answer.json()["message_id"])
                number += 1

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            while len(answered) < 3 and asking.is_alive():
                stop.wait(0.01)
            before = list(answered)
            done = orchestrator(env, "backup", "--to", str(tmp_path / "backups"), "--keep", "3")
            assert requests.get(f"{url}/health", timeout=30).status_code == 200
        finally:
            stop.set()
            asking.join()
        assert failures == []
        assert done.returncode == 0, done.stderr
        archive = done.stdout.strip()
        assert "only you can read it" in done.stderr
        held = orchestrator(env, "restore", archive, "--yes")
        assert held.returncode == 1
        assert "in use" in held.stderr and "Stop the server" in held.stderr
    restored = orchestrator(env, "restore", archive, "--yes")
    assert restored.returncode == 0, restored.stderr
    assert "former data is in" in restored.stderr
    data = tmp_path / "data"
    with ConversationStore.open(data / "memory.db") as store:
        kept = {message.message_id: message for message in store.messages("default")}
    assert len(before) >= 3 and set(before) <= set(kept)
    for message in kept.values():
        assert message.reply_to is None or message.reply_to in kept
    # Every finished run has its answer: none is known only to the running answers.
    store = RunStore.open(data / "runs.db")
    with store._database.read() as connection:
        finished = connection.execute("SELECT spec FROM runs WHERE finished_at IS NOT NULL").fetchall()
    store.close()
    assert len(finished) >= 3
    assert all(any(one in row["spec"] for one in kept) for row in finished)
    again = orchestrator(env, "ask", "And now?")
    assert again.returncode == 0, again.stderr

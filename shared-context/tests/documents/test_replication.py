from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from shared_context.documents.context_folder import DOCUMENT_NAMES, ContextFolder
from shared_context.errors import DocumentRejected

OpenFolder = Callable[..., ContextFolder]

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"


def send(sender: ContextFolder, receiver: ContextFolder) -> tuple[str, ...]:
    return receiver.apply_update(sender.update_since(receiver.state_vector()), sender._author)


def exchange(*folders: ContextFolder) -> None:
    for _ in range(2):
        for receiver in folders:
            for sender in folders:
                if sender is not receiver:
                    send(sender, receiver)


def test_an_empty_replica_receives_everything_on_disk(open_folder: OpenFolder) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    assert vps.documents() == []
    assert send(desktop, vps) == tuple(sorted(DOCUMENT_NAMES))
    for document in desktop.documents():
        assert (vps.folder / document.name).read_text() == document.text
        assert vps.document(document.name).version == document.version
        assert vps.document(document.name).author == "desktop"
    assert send(desktop, vps) == ()


def test_documents_of_a_project_nobody_opened_here_are_kept_on_disk_too(open_folder: OpenFolder) -> None:
    desktop, vps = open_folder("desktop", project="house"), open_folder("vps", starters=False)
    send(desktop, vps)
    assert (vps.folder / "house" / LOG).read_text() == desktop.document(LOG).text
    assert vps.in_project("house").document(LOG).text == desktop.document(LOG).text


def test_a_file_edited_here_and_a_change_from_there_are_merged(open_folder: OpenFolder) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    desktop.edit(BRIEFING, "one\ntwo\n", base_version=None)
    send(desktop, vps)
    (desktop.folder / BRIEFING).write_text("ONE\ntwo\n")
    vps.edit(BRIEFING, "one\ntwo\nthree\n", base_version=None)
    assert send(vps, desktop) == (BRIEFING,)
    assert (desktop.folder / BRIEFING).read_text() == "ONE\ntwo\nthree\n"
    assert desktop.history(BRIEFING)[0].author == "vps"


def test_a_conflict_is_seen_everywhere_and_resolved_anywhere(open_folder: OpenFolder) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    desktop.edit(BRIEFING, "line\n", base_version=None)
    send(desktop, vps)
    desktop.edit(BRIEFING, "by desktop\n", base_version=None)
    vps.edit(BRIEFING, "by vps\n", base_version=None)
    exchange(desktop, vps)
    (conflict,) = desktop.conflicts()
    assert vps.conflicts() == [conflict]
    assert {(side.author, side.text) for side in conflict.sides} == {
        ("desktop", "by desktop"),
        ("vps", "by vps"),
    }
    vps.resolve(conflict.conflict_id, "by both")
    exchange(desktop, vps)
    assert desktop.conflicts() == vps.conflicts() == []
    assert desktop.document(BRIEFING).text == "by both\n"


def test_an_entry_delivered_to_two_tiers_ends_up_once(open_folder: OpenFolder) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    send(desktop, vps)
    for folder in (desktop, vps):
        folder.append_entry("from the phone\n\n- detail", entry_id="p1", author="phone")
        folder.append_entry(f"by {folder._author}")
    exchange(desktop, vps)
    log = desktop.document(LOG).text
    assert vps.document(LOG).text == log
    assert [log.count(part) for part in ("entry:p1 ", "detail", "by desktop", "by vps")] == [1, 1, 1, 1]
    assert log.endswith("\n")


def test_a_replica_that_restarts_goes_on_where_it_was(open_folder: OpenFolder) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    send(desktop, vps)
    for number in range(3):
        desktop.append_entry(f"desktop {number}")
        vps.append_entry(f"vps {number}")
        exchange(desktop, vps)
        desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    log = vps.document(LOG).text
    assert log == desktop.document(LOG).text
    assert all(log.count(f"\n{who} {n}\n") == 1 for who in ("desktop", "vps") for n in range(3))


def test_a_refused_update_changes_nothing(open_folder: OpenFolder) -> None:
    desktop = open_folder("desktop")
    before = desktop.documents(), desktop.update_since()
    for update in (b"", b"garbage", b"\x01" * 100):
        with pytest.raises(DocumentRejected):
            desktop.apply_update(update, "stranger")
    with pytest.raises(DocumentRejected):
        desktop.update_since(b"\xff\xff\xff")
    assert (desktop.documents(), desktop.update_since()) == before


class Replicas(RuleBasedStateMachine):
    """Two folders edited through files and calls, exchanging what they like, restarting at will."""

    @initialize()
    def open_both(self) -> None:
        self.root = tempfile.TemporaryDirectory()
        self.folders: list[ContextFolder] = [self.open(0), self.open(1)]
        self.folders[0].edit(BRIEFING, "base 0\nbase 1\nbase 2\n", base_version=None)
        send(self.folders[0], self.folders[1])
        self.count = 0
        self.written: set[str] = {"base 0", "base 1", "base 2"}
        self.removed: set[str] = set()
        self.entries = 0
        self.old_version = self.folders[0].document(BRIEFING).version

    def open(self, who: int) -> ContextFolder:
        root = Path(self.root.name) / str(who)
        return ContextFolder(root / "context", state=root / "state", author=f"r{who}", starters=who == 0)

    def lines(self, who: int) -> list[str]:
        return self.folders[who].document(BRIEFING).text.split("\n")

    def new_line(self) -> str:
        self.count += 1
        self.written.add(f"line {self.count}")
        return f"line {self.count}"

    @rule(
        who=st.integers(0, 1),
        at=st.integers(0, 9),
        kind=st.sampled_from(["insert", "change", "delete"]),
        on_disk=st.booleans(),
    )
    def edit(self, who: int, at: int, kind: str, on_disk: bool) -> None:
        folder, lines = self.folders[who], self.lines(who)
        at = min(at, len(lines) - 1)
        if kind != "insert" and at < len(lines) - 1:
            self.removed.add(lines[at])
            lines[at : at + 1] = [self.new_line()] if kind == "change" else []
        else:
            lines[at:at] = [self.new_line()]
        if on_disk:
            (folder.folder / BRIEFING).write_text("\n".join(lines))
        else:
            folder.edit(BRIEFING, "\n".join(lines), base_version=folder.document(BRIEFING).version)

    @rule(who=st.integers(0, 1))
    def edit_the_first_version(self, who: int) -> None:
        text = self.folders[who].text_at(BRIEFING, self.old_version)
        self.folders[who].edit(BRIEFING, f"{text}{self.new_line()}\n", base_version=self.old_version)

    @rule(who=st.integers(0, 1))
    def append(self, who: int) -> None:
        self.folders[who].append_entry(f"entry {self.entries}\nends {self.entries}")
        self.entries += 1

    @rule(who=st.integers(0, 1))
    def send_over(self, who: int) -> None:
        send(self.folders[who], self.folders[1 - who])

    @rule(who=st.integers(0, 1))
    def restart(self, who: int) -> None:
        self.folders[who].close()
        self.folders[who] = self.open(who)

    @invariant()
    def file_and_memory_agree(self) -> None:
        for folder in getattr(self, "folders", []):
            assert (folder.folder / BRIEFING).read_text() == folder.document(BRIEFING).text

    def teardown(self) -> None:
        if not hasattr(self, "folders"):
            return
        try:
            exchange(*self.folders)
            lines = Counter(line for line in self.lines(0) if line)
            assert self.lines(0) == self.lines(1)
            assert lines == Counter(self.written - self.removed)
            assert self.folders[0].conflicts() == self.folders[1].conflicts()
            log = self.folders[0].document(LOG).text
            assert log == self.folders[1].document(LOG).text
            assert all(log.count(f"\nentry {n}\nends {n}\n") == 1 for n in range(self.entries))
        finally:
            for folder in self.folders:
                folder.close()
            self.root.cleanup()


TestReplicas = Replicas.TestCase
TestReplicas.settings = settings(
    max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestReplicas.pytestmark = [pytest.mark.slow]

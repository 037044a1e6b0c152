from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_context.documents.conflicts import find_conflicts
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.crdt import SharedLines
from shared_context.documents.deleted_lines import IdSet, disputed_hunks
from shared_context.documents.line import DELETION, Line, LineRun
from shared_context.documents.line_diff import changed_lines, merge_edit

OpenFolder = Callable[..., ContextFolder]

BRIEFING = "SESSION_BRIEFING.md"
FATES = ("keep", "change", "delete")
runs = st.tuples(st.integers(1, 2), st.integers(0, 30), st.integers(1, 5))


def exchange(*folders: ContextFolder) -> None:
    for _ in range(2):
        for receiver, sender in product(folders, folders):
            if sender is not receiver:
                receiver.apply_update(sender.update_since(receiver.state_vector()), sender._author)


@given(st.lists(runs, max_size=8), runs)
def test_a_set_of_ids_knows_whether_it_holds_any_of_a_run(
    held: list[tuple[int, int, int]], run: LineRun
) -> None:
    ids = {(client, clock) for client, start, length in held for clock in range(start, start + length)}
    client, start, length = run
    expected = any((client, clock) in ids for clock in range(start, start + length))
    assert IdSet(held).holds_any(LineRun(*run)) == expected


class Replica:
    """Shared lines that mark what comes, as `VersionedLines.receive` does, or do not, as older versions."""

    def __init__(self, marks: bool) -> None:
        self.lines = SharedLines()
        self.marks = marks

    def edit(self, texts: list[str], who: str) -> None:
        self.lines.change(BRIEFING, changed_lines(self.lines.texts(BRIEFING), texts), who)

    def receive_from(self, other: Replica) -> None:
        before, own = list(self.lines.lines(BRIEFING)), self.lines.update_since(self.lines.state_vector())
        self.lines.receive(other.lines.update_since(self.lines.state_vector()))
        if self.marks:
            among = {index for conflict in self.conflicts() for index in conflict.indexes}
            marks = disputed_hunks(before, own, self.lines.lines(BRIEFING), among)
            self.lines.change(BRIEFING, marks, "")

    def conflicts(self):  # type: ignore[no-untyped-def]
        return find_conflicts(self.lines.lines(BRIEFING), lambda indexes: self.lines.ids(BRIEFING, indexes))

    def listed(self) -> list[list[str]]:
        return [[hunk.text for hunk in conflict.hunks] for conflict in self.conflicts()]


def edited(base: list[str], fates: list[str], who: str) -> list[str]:
    """Lines change by themselves: a line that never changes stands behind each."""
    texts: list[str] = []
    for number, (line, fate) in enumerate(zip(base, fates, strict=True)):
        texts += {"keep": [line], "change": [f"{line} by {who}"], "delete": []}[fate]
        texts.append(f"-- {number}")
    return texts


several_fates = st.lists(st.tuples(*[st.sampled_from(FATES)] * 3), min_size=1, max_size=5)


@given(several_fates, st.permutations(list(product(range(3), range(3)))), st.booleans())
def test_whatever_the_way_of_the_updates_a_deletion_against_an_edit_is_listed_and_nothing_lost(
    fates: list[tuple[str, str, str]], order: list[tuple[int, int]], with_old: bool
) -> None:
    base = [f"line {n}" for n in range(len(fates))]
    replicas = [Replica(True), Replica(True), Replica(marks=not with_old)]
    replicas[0].edit(edited(base, ["keep"] * len(base), ""), "0")
    for replica in replicas[1:]:
        replica.receive_from(replicas[0])
    for who, replica in enumerate(replicas):
        replica.edit(edited(base, [fate[who] for fate in fates], str(who)), str(who))
    for _ in range(4):
        for sender, receiver in order:
            if sender != receiver:
                replicas[receiver].receive_from(replicas[sender])

    first = replicas[0].lines.texts(BRIEFING)
    assert all(replica.lines.texts(BRIEFING) == first for replica in replicas)
    listed = {frozenset(sides) for sides in replicas[0].listed()}
    assert listed == {frozenset(sides) for sides in replicas[1].listed()}
    for line, fate in zip(base, fates, strict=True):
        written = {f"{line} by {who}" for who in range(3) if fate[who] == "change"}
        assert written <= set(first)
        here = [sides for sides in listed if any(text.startswith(line) for text in sides)]
        disputed = written and "delete" in fate
        # Only a replica that has the deletion can tell of it: an older one does not.
        if len(written) > 1 or (disputed and any(f == "delete" for f in fate[: 2 if with_old else 3])):
            assert len(here) == 1 and here[0] >= written
            assert len(written) > 1 or "" in here[0]
        elif not disputed:
            assert here == []


@given(several_fates)
def test_a_late_edit_is_disputed_as_a_remote_one_is(fates: list[tuple[str, str, str]]) -> None:
    base = [f"line {n}" for n in range(len(fates))]
    original = edited(base, ["keep"] * len(base), "")
    mine, theirs = (edited(base, [fate[who] for fate in fates], str(who)) for who in range(2))
    replica = Replica(True)
    for number, texts in enumerate((original, theirs)):
        replica.edit(texts, str(number))
    replica.lines.change(BRIEFING, merge_edit(original, mine, theirs), "0")
    disputed = [fate[:2] for fate in fates if set(fate[:2]) == {"change", "delete"}]
    assert sum("" in sides for sides in replica.listed()) == len(disputed)


def test_a_mark_is_written_with_what_older_replicas_read() -> None:
    marked = Line("text", "hunk", (LineRun(1, 2, 1),), (DELETION,), "vps")
    element = marked.element()
    assert element.keys() <= {"t", "h", "o", "r", "a"}
    assert Line.of_element(element) == marked


@pytest.mark.parametrize("deleter", ["desktop", "vps"])
@pytest.mark.parametrize("decision", ["zwei", "deux", ""])
def test_a_line_deleted_here_and_changed_there_is_a_conflict_on_both(
    open_folder: OpenFolder, deleter: str, decision: str
) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    phone = open_folder("phone", starters=False)
    desktop.edit(BRIEFING, "one\ntwo\nthree\n")
    exchange(desktop, vps, phone)
    folders = (desktop, vps) if deleter == "desktop" else (vps, desktop)
    folders[0].edit(BRIEFING, "one\nthree\n")
    exchange(folders[0], phone)
    folders[1].edit(BRIEFING, "one\nzwei\nthree\n")
    exchange(desktop, vps)
    assert desktop.document(BRIEFING).text == vps.document(BRIEFING).text == "one\nzwei\nthree\n"
    (conflict,) = desktop.conflicts()
    assert vps.conflicts() == [conflict]
    assert [(side.author, side.text) for side in conflict.sides] == [
        (folders[1]._author, "zwei"),
        ("unknown", ""),
    ]
    assert desktop.document(BRIEFING).conflicts == 1
    desktop.resolve(conflict.conflict_id, decision)
    expected = "one\n" + (f"{decision}\n" if decision else "") + "three\n"
    # Neither who had seen the deletion only, nor anybody else, takes the decision for an edit of the deleted line.
    exchange(desktop, vps, phone)
    for folder in (desktop, vps, phone):
        assert folder.conflicts() == []
        assert folder.document(BRIEFING).text == expected


def test_what_was_edited_and_then_deleted_elsewhere_is_no_conflict(open_folder: OpenFolder) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    desktop.edit(BRIEFING, "one\ntwo\nthree\n")
    exchange(desktop, vps)
    for middle in ("2", "zwei", "", "deux", "2\n3"):
        vps.edit(BRIEFING, f"one\n{middle}\nthree\n" if middle else "one\nthree\n")
        exchange(desktop, vps)
        assert desktop.conflicts() == []
    desktop.edit(BRIEFING, "one\n2\n")
    exchange(desktop, vps)
    vps.edit(BRIEFING, "1\n2\n")
    exchange(desktop, vps)
    assert desktop.conflicts() == vps.conflicts() == []


def test_a_mark_survives_a_restart(open_folder: OpenFolder) -> None:
    desktop, vps = open_folder("desktop"), open_folder("vps", starters=False)
    desktop.edit(BRIEFING, "one\ntwo\n")
    exchange(desktop, vps)
    desktop.edit(BRIEFING, "one\n")
    vps.edit(BRIEFING, "one\nzwei\n")
    exchange(desktop, vps)
    conflicts = desktop.conflicts()
    assert len(conflicts) == 1
    assert open_folder("desktop").conflicts() == open_folder("vps").conflicts() == conflicts

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map
from shared_context.documents.conflicts import find_conflicts, repeated_sides
from shared_context.documents.crdt import SharedLines
from shared_context.documents.line_diff import LineChange, changed_lines, merge_edit, split_lines
from shared_context.errors import DocumentRejected

LOG = "SESSION_LOG.md"


def replica(text: str = "") -> SharedLines:
    lines = SharedLines()
    if text:
        write(lines, text)
    return lines


def copy_of(original: SharedLines) -> SharedLines:
    copy = SharedLines()
    copy.receive(original.update_since())
    return copy


def write(lines: SharedLines, text: str, author: str = "someone") -> bytes:
    return lines.change(LOG, changed_lines(lines.texts(LOG), split_lines(text)), author)


def exchange(*replicas: SharedLines) -> None:
    for receiver in replicas:
        for sender in replicas:
            if sender is not receiver:
                receiver.receive(sender.update_since(receiver.state_vector()))


def conflicts(lines: SharedLines) -> list[list[tuple[str, str]]]:
    found = find_conflicts(lines.lines(LOG), lambda indexes: lines.ids(LOG, indexes))
    return [[(hunk.author, hunk.text) for hunk in conflict.hunks] for conflict in found]


def test_an_update_carries_a_change_to_another_replica() -> None:
    a = replica("one\ntwo\n")
    b = copy_of(a)
    update = write(a, "one\n2\nthree\n")
    assert b.receive(update) == {LOG}
    assert b.text(LOG) == a.text(LOG) == "one\n2\nthree\n"


def test_edits_of_different_lines_merge_without_conflict() -> None:
    a = replica("1\n2\n3\n4\n")
    b = copy_of(a)
    write(a, "one\n2\n3\n4\n")
    write(b, "1\ntwo\n3\n4\nfive\n")
    exchange(a, b)
    assert a.text(LOG) == b.text(LOG) == "one\ntwo\n3\n4\nfive\n"
    assert conflicts(a) == []


def test_both_texts_of_a_line_changed_twice_stay_and_are_a_conflict_on_every_replica() -> None:
    a = replica("head\nline\ntail\n")
    b = copy_of(a)
    write(a, "head\nfrom a\ntail\n", "a")
    write(b, "head\nfrom b\ntail\n", "b")
    exchange(a, b)
    assert a.text(LOG) == b.text(LOG)
    assert sorted(split_lines(a.text(LOG))) == ["", "from a", "from b", "head", "tail"]
    (conflict,) = conflicts(a)
    assert sorted(conflict) == [("a", "from a"), ("b", "from b")]
    assert conflicts(b) == conflicts(a)


def test_a_line_changed_several_times_before_the_exchange_still_conflicts() -> None:
    a = replica("line\n")
    b = copy_of(a)
    write(a, "a1\n", "a")
    write(a, "a2\n", "a")
    write(b, "b1\nb2\n", "b")
    exchange(a, b)
    assert sorted(conflicts(a)[0]) == [("a", "a2"), ("b", "b1\nb2")]


def test_a_line_one_person_split_and_went_on_editing_is_no_conflict() -> None:
    a = replica("line\n")
    write(a, "first\nsecond\n")
    write(a, "first\nchanged\n")
    write(a, "again\nchanged\n")
    assert conflicts(a) == []


def test_a_conflict_ends_when_one_side_is_left() -> None:
    a = replica("line\n")
    b = copy_of(a)
    write(a, "from a\n")
    write(b, "from b\n")
    exchange(a, b)
    write(a, "from b\n")
    exchange(a, b)
    assert conflicts(a) == conflicts(b) == []


def test_a_late_edit_of_an_old_text_conflicts_like_a_remote_one() -> None:
    a = replica("head\nline\n")
    write(a, "head\nnew\n", "a")
    a.change(LOG, merge_edit(["head", "line", ""], ["head", "late", ""], a.texts(LOG)), "late")
    assert a.text(LOG) == "head\nnew\nlate\n"
    assert conflicts(a) == [[("a", "new"), ("late", "late")]]


def test_a_late_edit_against_lines_that_came_without_a_hunk_conflicts_too() -> None:
    a = replica("head\nline\ntail\n")
    a.change(LOG, [LineChange(1, 2)], "a")
    a.change(LOG, [LineChange(1, 1, ("plain", "lines"))], "a")
    base = split_lines("head\nline\ntail\n")
    a.change(LOG, merge_edit(base, split_lines("head\nlate\ntail\n"), a.texts(LOG)), "late")
    assert conflicts(a) == [[("unknown", "plain\nlines"), ("late", "late")]]


def test_the_same_change_on_three_replicas_is_kept_once() -> None:
    a = replica("line\n")
    b, c = copy_of(a), copy_of(a)
    for each in (a, b, c):
        write(each, "same\n")
    exchange(a, b)

    def tidy(lines: SharedLines) -> None:
        def ids(indexes: list[int]) -> list[tuple[int, int]]:
            return lines.ids(LOG, indexes)

        lines.delete(LOG, repeated_sides(find_conflicts(lines.lines(LOG), ids), ids))

    tidy(a)
    b.receive(c.update_since(b.state_vector()))
    tidy(b)
    exchange(a, b, c)
    for each in (a, b, c):
        tidy(each)
    exchange(a, b, c)
    assert a.text(LOG) == b.text(LOG) == c.text(LOG) == "same\n"


def test_blocks_appended_at_once_do_not_interleave() -> None:
    a = replica("log\n")
    b = copy_of(a)
    block_a, block_b = [f"a{i}" for i in range(300)], [f"b{i}" for i in range(300)]
    write(a, "log\n" + "\n".join(block_a) + "\n")
    write(b, "log\n" + "\n".join(block_b) + "\n")
    exchange(a, b)
    lines = a.texts(LOG)
    assert lines in (["log", *block_a, *block_b, ""], ["log", *block_b, *block_a, ""])


def test_a_new_line_after_an_edited_one_stays_after_it() -> None:
    a = replica("1\n2\n")
    b = copy_of(a)
    write(a, "one\n2\n")
    write(b, "1\nnew\n2\n")
    exchange(a, b)
    assert a.text(LOG) == "one\nnew\n2\n"


def test_receiving_again_and_out_of_order_changes_nothing() -> None:
    a = replica("1\n")
    b = copy_of(a)
    first, second = write(a, "1\n2\n"), write(a, "1\n2\n3\n")
    with pytest.raises(DocumentRejected, match="missing"):
        b.receive(second)
    assert b.text(LOG) == "1\n"
    for update in (first, second, first, second):
        b.receive(update)
    assert b.text(LOG) == "1\n2\n3\n"


def test_storing_and_loading_gives_the_same_lines_and_conflicts() -> None:
    a = replica("line\nx\n")
    b = copy_of(a)
    write(a, "from a\nx\n", "a")
    write(b, "from b\nx\n", "b")
    exchange(a, b)
    loaded = SharedLines()
    loaded.load(a.update_since())
    assert loaded.lines(LOG) == a.lines(LOG)
    assert conflicts(loaded) == conflicts(a)


def test_a_large_document_is_written_in_one_update() -> None:
    text = "\n".join(f"line {i}" for i in range(100_000))
    a = SharedLines()
    update = write(a, text)
    b = SharedLines()
    b.receive(update)
    assert b.text(LOG) == text


def foreign_update(path: str, *elements: object) -> bytes:
    doc: Doc = Doc()
    doc.get(path, type=Array).extend(list(elements))
    return doc.get_update()


@pytest.mark.parametrize(
    "update",
    [
        b"garbage",
        b"",
        foreign_update("../../etc/passwd", "x"),
        foreign_update("README.md", "x"),
        foreign_update(LOG, 5),
        foreign_update(LOG, None),
        foreign_update(LOG, "two\nlines"),
        foreign_update(LOG, {"t": "x"}),
        foreign_update(LOG, {"t": "x", "h": "h", "o": "abc"}),
        foreign_update(LOG, {"t": "x", "h": "h", "o": [[1, 2, -3]]}),
        foreign_update(LOG, {"t": "x", "h": "h", "z": 1}),
        foreign_update(LOG, Array(["nested"])),
        foreign_update(LOG, Map({"t": "nested"})),
        foreign_update(LOG, Doc()),
    ],
    ids=[
        *("garbage", "nothing", "path outside", "file of another kind", "number", "null", "two lines"),
        *("text alone", "origin of text", "origin below zero", "unknown field"),
        *("nested list", "nested map", "document"),
    ],  # The bytes themselves hold a random replica's number.
)
def test_what_is_no_update_of_lines_is_refused_and_changes_nothing(update: bytes) -> None:
    a = replica("mine\n")
    before = a.update_since()
    with pytest.raises(DocumentRejected):
        a.receive(update)
    assert (a.text(LOG), a.update_since()) == ("mine\n", before)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, str, int]]:
    steps = st.tuples(st.integers(0, 2), st.sampled_from(["insert", "change", "delete", "sync"]))
    return [(*draw(steps), draw(st.integers(0, 99))) for _ in range(draw(st.integers(1, 25)))]


@settings(max_examples=60)
@given(histories())
def test_replicas_come_to_the_same_lines_and_nothing_written_is_lost(
    history: list[tuple[int, str, int]],
) -> None:
    first = replica("\n".join(f"base {i}" for i in range(4)))
    replicas = [first, copy_of(first), copy_of(first)]
    written: list[str] = []
    removed: set[str] = set()
    for number, (who, kind, where) in enumerate(history):
        lines, texts = replicas[who], replicas[who].texts(LOG)
        at = where % (len(texts) + 1)
        new = f"{kind} {number} by {who}"
        if kind == "sync":
            lines.receive(replicas[where % 3].update_since(lines.state_vector()))
        elif kind == "insert":
            lines.change(LOG, [LineChange(at, at, (new,))], str(who))
            written.append(new)
        elif at < len(texts):
            removed.add(texts[at])
            lines.change(LOG, [LineChange(at, at + 1, (new,) if kind == "change" else ())], str(who))
            written += [new] if kind == "change" else []
    exchange(*replicas)
    texts = [lines.texts(LOG) for lines in replicas]
    assert texts[0] == texts[1] == texts[2]
    assert Counter(texts[0]) == Counter({*written, *(f"base {i}" for i in range(4))} - removed)
    assert conflicts(replicas[0]) == conflicts(replicas[1]) == conflicts(replicas[2])
    # Replicas read only what is new; a copy reads everything.
    assert all(lines.lines(LOG) == copy_of(lines).lines(LOG) for lines in replicas)

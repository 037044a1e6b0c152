from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_context.documents import line_diff
from shared_context.documents.line_diff import (
    LineChange,
    apply_changes,
    changed_lines,
    join_lines,
    merge_edit,
    split_lines,
    unified_diff,
)

few_lines = st.lists(st.sampled_from(["", "a", "b", "c", "d", "# h"]), max_size=12)


def merged(base: str, mine: str, current: str) -> str:
    lines = split_lines(current)
    return join_lines(apply_changes(lines, merge_edit(split_lines(base), split_lines(mine), lines)))


@given(st.text(alphabet="a\r\n\x0b\u2028é", max_size=30))
def test_splitting_and_joining_gives_back_every_character(text: str) -> None:
    assert join_lines(split_lines(text)) == text


@given(few_lines, few_lines)
def test_the_changes_from_one_text_to_another_produce_it(old: list[str], new: list[str]) -> None:
    assert apply_changes(old, changed_lines(old, new)) == new


@given(few_lines, few_lines)
def test_texts_too_large_to_compare_at_once_are_cut_at_anchors(old: list[str], new: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_diff, "MOST_STEPS", 2)
        assert apply_changes(old, changed_lines(old, new)) == new


@given(few_lines, few_lines)
def test_an_edit_of_the_current_text_is_taken_as_it_is(base: list[str], mine: list[str]) -> None:
    assert apply_changes(base, merge_edit(base, mine, base)) == mine


@given(few_lines, few_lines)
def test_an_edit_that_changes_nothing_changes_nothing(base: list[str], current: list[str]) -> None:
    assert merge_edit(base, base, current) == []


@given(few_lines, few_lines)
def test_the_same_edit_twice_counts_once(base: list[str], mine: list[str]) -> None:
    assert apply_changes(mine, merge_edit(base, mine, mine)) == mine


@st.composite
def two_edits(draw: st.DrawFn) -> tuple[list[str], list[str], list[str]]:
    """A base of distinct lines and two edits, each bringing lines of its own."""
    base = [f"base {i}" for i in range(draw(st.integers(0, 8)))]

    def edit(who: str) -> list[str]:
        result: list[str] = []
        for line in base:
            for kind in draw(st.lists(st.sampled_from("ik"), max_size=2)):
                result += [f"{who} {len(result)}"] if kind == "i" else []
            fate = draw(st.sampled_from(["keep", "keep", "change", "delete"]))
            result += {"keep": [line], "change": [f"{who} for {line}"], "delete": []}[fate]
        return result + [f"{who} end {i}" for i in range(draw(st.integers(0, 2)))]

    return base, edit("mine"), edit("theirs")


@given(two_edits())
def test_what_either_side_wrote_is_there_once_and_what_one_deleted_is_gone(
    edits: tuple[list[str], list[str], list[str]],
) -> None:
    base, mine, current = edits
    result = apply_changes(current, merge_edit(base, mine, current))
    counts = Counter(result)
    written = [line for line in mine + current if line not in base]
    assert all(counts[line] == 1 for line in written)
    assert {line for line in base if line in counts} == {ln for ln in base if ln in mine and ln in current}


@given(two_edits())
def test_each_side_keeps_the_order_of_its_lines(edits: tuple[list[str], list[str], list[str]]) -> None:
    base, mine, current = edits
    result = apply_changes(current, merge_edit(base, mine, current))
    for side in (mine, current):
        kept = [line for line in side if line in result]
        assert [line for line in result if line in side] == kept


@given(two_edits())
def test_rivals_are_lines_that_stay(edits: tuple[list[str], list[str], list[str]]) -> None:
    base, mine, current = edits
    changes = merge_edit(base, mine, current)
    gone = {i for change in changes for i in range(change.start, change.stop)}
    assert not gone & {i for change in changes for i in change.rivals}


@pytest.mark.parametrize(
    ("base", "mine", "current", "expected"),
    [
        ("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"),
        ("a\nb\n", "A\nb\n", "a\nB\n", "A\nB\n"),
        ("a\n", "mine\n", "theirs\n", "theirs\nmine\n"),
        ("a\n", "same\n", "same\n", "same\n"),
        ("a\nb\n", "b\n", "changed\nb\n", "changed\nb\n"),
        ("a\nb\n", "changed\nb\n", "b\n", "changed\nb\n"),
        ("a\n", "a\nmine\n", "a\ntheirs\n", "a\ntheirs\nmine\n"),
        ("a\n", "a\nboth\nmine\n", "a\nboth\n", "a\nboth\nmine\n"),
        ("a\nb\nc\nd\n", "d\n", "a\nB\nc\nd\n", "B\nd\n"),
        ("a\nb\nc\n", "A\nB\nC\n", "a\nb\nnew\nc\n", "A\nB\nC\nnew\n"),
        ("a\n", "a", "a\nb\n", "a\nb"),
        ("", "x\n", "y\n", "y\nx\n"),
        ("a\r\nb\r\n", "a\r\nB\r\n", "a\r\nb\r\nc\r\n", "a\r\nB\r\nc\r\n"),
    ],
)
def test_merging(base: str, mine: str, current: str, expected: str) -> None:
    assert merged(base, mine, current) == expected


def test_lines_both_changed_are_marked_as_rivals() -> None:
    changes = merge_edit(["a", "b", "c"], ["a", "mine", "c"], ["a", "their", "s", "c"])
    assert changes == [LineChange(3, 3, ("mine",), (1, 2))]


def test_neighbouring_changes_are_no_conflict() -> None:
    assert merge_edit(["a", "b"], ["A", "b"], ["a", "B"]) == [LineChange(0, 1, ("A",))]


def test_a_large_text_changed_on_every_second_line_is_compared_line_by_line() -> None:
    old = [line for i in range(50_000) for line in (f"line {i}", f"other {i}")]
    new = ["changed" if line.startswith("line") else line for line in old]
    changes = changed_lines(old, new)
    assert len(changes) == 50_000
    assert apply_changes(old, changes) == new


def test_a_large_text_without_any_line_in_common_counts_as_rewritten() -> None:
    old, new = ["a", ""] * 1000, ["b", ""] * 1000
    assert changed_lines(old, new) == [LineChange(0, 1999, tuple(new[:-1]))]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.lists(st.sampled_from("abc"), max_size=30))
def test_patch_turns_the_old_text_into_the_new_one_by_a_unified_diff(old: list[str], new: list[str]) -> None:
    assert patched(old, unified_diff(old, new, "a", "b")) == new


def patched(old: list[str], diff: str) -> list[str]:
    """As `patch` reads it: each hunk's place and counts are right, and its old lines are there."""
    result, at = [], 0
    hunks = ("\n" + diff).split("\n@@ ")[1:]
    for hunk in hunks:
        header, _, body = hunk.partition(" @@\n")
        lines = body.removesuffix("\n").split("\n")
        start, _, count = header.split(" ")[0].removeprefix("-").partition(",")
        place = int(start) - (0 if count == "0" else 1)
        result += old[at:place]
        taken = [line[1:] for line in lines if line[0] in " -"]
        assert old[place : place + len(taken)] == taken and len(taken) == int(count or 1)
        given_lines = [line[1:] for line in lines if line[0] in " +"]
        new_start, _, new_count = header.split(" ")[1].removeprefix("+").partition(",")
        assert len(given_lines) == int(new_count or 1)
        assert int(new_start) - (0 if new_count == "0" else 1) == len(result)
        result += given_lines
        at = place + len(taken)
    return result + old[at:]


LINES = 20_000


@pytest.mark.timeout(60)
def test_texts_made_to_keep_a_comparison_busy_are_compared_in_the_end() -> None:
    kinds = [str(n * n % 101) for n in range(LINES)], [str(n * 7 % 101) for n in range(LINES)]
    alike = [f"u{n}" if n % 500 == 0 else "xy"[n % 2] for n in range(LINES)]
    shifted = [f"u{n}" if n % 500 == 0 else "xy"[n % 3 % 2] for n in range(LINES)]
    for old, new in (kinds, (alike, shifted)):
        assert apply_changes(old, changed_lines(old, new)) == new
        assert unified_diff(old, new, "a", "b")
    base = [f"line {n}" for n in range(LINES)]
    mine = [f"{line} mine" if n % 2 else line for n, line in enumerate(base)]
    theirs = [line if n % 2 else f"{line} theirs" for n, line in enumerate(base)]
    merged = apply_changes(theirs, merge_edit(base, mine, theirs))
    assert len(merged) == LINES and merged[:2] == ["line 0 theirs", "line 1 mine"]

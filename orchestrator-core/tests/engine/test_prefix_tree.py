"""The prefix tree against a plain model: each sequence a list of (token, cell)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_core.engine.prefix_tree import Match, PrefixTree, common_prefix


def tree_with(**sequences: list[int]) -> PrefixTree:
    tree = PrefixTree()
    for name, tokens in sequences.items():
        seq = int(name.removeprefix("s"))
        tree.add(seq)
        tree.append(seq, tokens)
    return tree


def test_a_fork_shares_cells_until_either_side_goes_on() -> None:
    tree = tree_with(s1=[1, 2, 3, 4])
    tree.fork(1, 2, 3)
    assert tree.cells == 4
    tree.append(2, [9])
    tree.append(1, [5])
    assert (tree.tokens(1), tree.tokens(2)) == ([1, 2, 3, 4, 5], [1, 2, 3, 9])
    assert tree.cells == 6
    assert (tree.exclusive(1), tree.exclusive(2)) == (2, 1)


def test_the_same_tokens_computed_twice_take_cells_twice() -> None:
    tree = tree_with(s1=[1, 2, 3], s2=[1, 2, 3])
    assert tree.cells == 6
    assert tree.match([1, 2, 3, 4]).length == 3


def test_a_match_ends_at_the_limit_and_inside_a_run() -> None:
    tree = tree_with(s1=[1, 2, 3, 4])
    assert tree.match([1, 2, 3, 4], limit=3) == Match(3, 1)
    assert tree.match([1, 2, 7]) == Match(2, 1)
    assert tree.match([7]) == Match(0, None)


def test_releasing_one_owner_keeps_what_the_other_sees() -> None:
    tree = tree_with(s1=[1, 2, 3, 4])
    tree.fork(1, 2, 2)
    assert tree.release(1) == 2
    assert tree.tokens(2) == [1, 2]
    assert tree.release(2) == 2
    assert tree.cells == 0


def test_many_forks_and_releases_do_not_fray_the_tree() -> None:
    tree = tree_with(s0=list(range(200)))
    for length in range(1, 200):
        tree.fork(0, 1, length)
        tree.release(1)
    assert len(list(tree._path(0))) <= 2


def test_impossible_forks_are_refused() -> None:
    tree = tree_with(s1=[1])
    with pytest.raises(ValueError, match="has 1 tokens"):
        tree.fork(1, 2, 2)
    with pytest.raises(ValueError, match="exists"):
        tree.add(1)


few = st.integers(0, 1)
actions = st.lists(
    st.one_of(
        st.just(("add",)),
        st.tuples(st.just("fork"), st.integers(0, 99), st.integers(0, 99)),
        st.tuples(st.just("append"), st.integers(0, 99), st.lists(few, max_size=4)),
        st.tuples(st.just("release"), st.integers(0, 99)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(actions=actions, asked=st.lists(few, max_size=8), limit=st.integers(0, 8))
def test_tree_agrees_with_plain_lists_of_cells(actions: list[tuple], asked: list[int], limit: int) -> None:
    tree, plain = PrefixTree(), {}
    for number, (action, *details) in enumerate(actions):
        chosen = sorted(plain)[details[0] % len(plain)] if plain and details else None
        if action == "add":
            tree.add(number)
            plain[number] = []
        elif chosen is None:
            continue
        elif action == "fork":
            length = details[1] % (len(plain[chosen]) + 1)
            tree.fork(chosen, number, length)
            plain[number] = plain[chosen][:length]
        elif action == "append":
            tree.append(chosen, details[1])
            plain[chosen] = plain[chosen] + [(token, object()) for token in details[1]]
        else:
            tree.release(chosen)
            del plain[chosen]
    cells = {cell for sequence in plain.values() for _, cell in sequence}
    assert tree.cells == len(cells)
    for seq, sequence in plain.items():
        assert tree.tokens(seq) == [token for token, _ in sequence]
        others = {cell for other in plain if other != seq for _, cell in plain[other]}
        assert tree.exclusive(seq) == len({cell for _, cell in sequence} - others)
    match = tree.match(asked, limit)
    common = {
        seq: common_prefix([token for token, _ in sequence], asked, 0, limit)
        for seq, sequence in plain.items()
    }
    assert match.length == max(common.values(), default=0)
    assert match.length == 0 or common[match.seq] == match.length
    held = set(sorted(plain)[::2])
    owned = {cell for seq in held for _, cell in plain[seq]}
    matched = {cell for _, cell in plain[match.seq][: match.length]} if match.seq is not None else set()
    assert tree.cells_of(held, match) == len(owned | matched)


@given(st.lists(few, max_size=20), st.lists(few, max_size=20), st.integers(0, 5), st.integers(0, 25))
def test_common_prefix_counts_equal_tokens(run: list[int], tokens: list[int], start: int, limit: int) -> None:
    expected = 0
    for left, right in zip(run, tokens[start : max(start, limit)], strict=False):
        if left != right:
            break
        expected += 1
    assert common_prefix(run, tokens, min(start, len(tokens)), limit) == expected

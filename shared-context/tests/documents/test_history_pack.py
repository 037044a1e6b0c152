from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dulwich.pack import apply_delta
from hypothesis import example, given
from hypothesis import strategies as st
from shared_context.documents.history import GitHistory, text_version
from shared_context.documents.history_pack import MANY_PACKS, difference


@pytest.fixture
def history(tmp_path: Path) -> Iterator[GitHistory]:
    opened = GitHistory(tmp_path / "history.git")
    yield opened
    opened.close()


def commit(history: GitHistory, number: int, text: str, path: str = "SESSION_LOG.md") -> str:
    history.commit(
        path, text.encode(), author="desktop", at=1e9 + number, summary="s", change_id=f"{path} {number}"
    )
    return text


def size(history: GitHistory) -> int:
    return sum(file.stat().st_size for file in history.folder.rglob("*") if file.is_file())


def git(history: GitHistory, *arguments: str) -> str:
    command = ["git", "-C", str(history.folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@given(st.binary(max_size=300), st.binary(max_size=300))
@example(b"", b"")
@example(b"aXb", b"aYYb")
@example(b"aa", b"a")
@example(b"x" * 70_000, b"x" * 70_001)
@example(b"x" * 140_000 + b"y", b"z" + b"x" * 140_000 + b"y" * 300)
def test_a_difference_makes_the_target_of_the_base(base: bytes, target: bytes) -> None:
    assert b"".join(apply_delta(base, difference(base, target))) == target


def test_versions_of_a_growing_document_take_little_more_than_its_lines(history: GitHistory) -> None:
    lines = [f"line {n} {n * 7919 % 10007:x} {n * 104729 % 99991:x}\n" for n in range(2000)]
    texts = [commit(history, n, "".join(lines[: 1000 + 10 * n])) for n in range(100)]
    before = size(history)
    assert history.pack_when_loose(limit=10)
    assert size(history) * 8 < before
    assert all(history.text(text_version(text)) == text for text in texts)
    assert git(history, "fsck", "--strict") == ""
    assert git(history, "show", "main~30:SESSION_LOG.md") == texts[-31]


def test_many_packs_become_one_and_nothing_of_them_is_lost(history: GitHistory) -> None:
    texts = []
    for number in range(4 * MANY_PACKS):
        texts.append(commit(history, number, f"first\n{number}\nlast\n", f"p{number % 3}/SESSION_LOG.md"))
        history.pack_when_loose(limit=0)
    packs = list((history.folder / "objects" / "pack").glob("*.pack"))
    assert len(packs) <= MANY_PACKS
    assert all(history.text(text_version(text)) == text for text in texts)
    assert git(history, "fsck", "--strict") == ""
    assert git(history, "rev-list", "--count", "main") == f"{len(texts)}\n"


def test_a_text_that_two_documents_share_and_one_that_came_back_are_kept(history: GitHistory) -> None:
    texts = [commit(history, n, f"text {n % 2}\n", path) for n in range(6) for path in ("a.md", "b/a.md")]
    history.pack_when_loose(limit=0)
    assert all(history.text(text_version(text)) == text for text in texts)
    assert git(history, "fsck", "--strict") == ""
